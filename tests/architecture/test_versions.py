"""Two versions of Python, the oldest one and that of the images, which several files name and all name alike."""

import json
import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
CI = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
OLDEST = PROJECT["project"]["requires-python"].removeprefix(">=")
(IMAGES,) = re.findall(
    r"^ARG BASE_IMAGE=docker\.io/library/python:(3\.\d+)-slim$", (ROOT / "Dockerfile").read_text(), re.M
)


def test_the_parts_unit_tests_run_on_the_images_python() -> None:
    assert re.findall(r"^IMAGES_PYTHON := (.*)$", MAKEFILE, re.M) == [IMAGES]
    assert '"test-unit-images"' in (ROOT / "dev/suites.py").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^test-unit-images:.*\n((?:\t.*\n)+)", MAKEFILE, re.M)
    parts = {path.parent.parent.name for path in ROOT.glob("*/workqueue_*/__init__.py")}
    assert set(re.findall(r"tests/unit/(\w+)", recipe)) == parts


def test_the_hosted_ci_runs_all_unit_tests_on_the_oldest_python_and_on_the_images() -> None:
    assert CI["unit"]["strategy"]["matrix"]["python"] == [OLDEST, IMAGES]
    steps = [step for name, job in CI.items() if name != "unit" for step in job["steps"]]
    assert {step["with"]["python-version"] for step in steps if "setup-python" in step.get("uses", "")} == {OLDEST}


def test_the_lock_and_the_lint_are_for_the_oldest_python() -> None:
    assert f"--python-version {OLDEST} " in MAKEFILE
    assert PROJECT["tool"]["ruff"]["target-version"] == "py" + OLDEST.replace(".", "")


def test_the_dev_container_has_the_images_python_and_the_go_of_the_local_tools() -> None:
    described = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert described["image"].startswith(f"mcr.microsoft.com/devcontainers/python:{IMAGES}-")
    (wanted,) = re.findall(r"^go (\d+\.\d+)", (ROOT / "dev" / "workflows" / "go.mod").read_text(), re.M)
    assert described["features"]["ghcr.io/devcontainers/features/go:1"]["version"] == wanted
