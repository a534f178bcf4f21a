"""The Dockerfiles keep to one form: any base, one part's code, the lock, a numeric user, versions that agree."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PARTS = ("worker", "producer", "operator")
#: Whose code each image holds: a handler may publish, so the producer's is in the worker's.
CODE = {"worker": ("worker", "producer"), "producer": ("producer",), "operator": ("operator",)}


@pytest.fixture(params=PARTS)
def part(request) -> str:
    return request.param


@pytest.fixture
def steps(part: str) -> list[str]:
    """The instructions, one a line."""
    text = (ROOT / part / "Dockerfile").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_base_is_an_argument_of_both_stages(steps):
    assert steps[0].startswith("ARG BASE_IMAGE=")
    assert [step for step in steps if step.startswith("FROM ")] == ["FROM ${BASE_IMAGE} AS build", "FROM ${BASE_IMAGE}"]


def test_only_its_own_code_and_the_brokers_gets_in(part, steps):
    copied = {word for step in steps if re.match(r"COPY (?!--from)", step) for word in step.split()[1:-1]}
    parts = {f"{name}/" for name in ("broker", *CODE[part])}
    assert copied == {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "requirements.lock", *parts}


def test_packages_come_from_the_lock(part, steps):
    packages, project = [step for step in steps if "uv pip install" in step]
    assert "--constraint requirements.lock" in packages
    assert "--build-constraint requirements.lock" in packages
    extras = " ".join(f"--extra {name}" for name in CODE[part])
    assert packages.endswith(f"--requirement pyproject.toml {extras}")
    assert "--no-deps" in project
    assert "--build-constraint requirements.lock" in project
    assert project.split(" && ")[0].endswith(" .")


def test_a_change_of_code_installs_no_package_again(part, steps):
    """What the packages' layer stands on changes only with the versions."""
    packages = next(number for number, step in enumerate(steps) if "uv pip install" in step)
    before = {word for step in steps[:packages] if step.startswith("COPY") for word in step.split()[1:-1]}
    assert before == {"pyproject.toml", "requirements.lock"}


def test_the_lock_pins_what_each_image_needs():
    lock = (ROOT / "requirements.lock").read_text()
    for part in PARTS:
        for requirement in PROJECT["optional-dependencies"][part]:
            name = re.match(r"[\w.-]+", requirement).group()
            assert re.search(rf"^{name}==\S+ \\\n +--hash=sha256:", lock, re.MULTILINE), name


def test_two_builds_have_the_same_files(steps):
    """All files of a release have one time: Python would compile a module at each start if it compared that time."""
    building = " ".join(steps[: steps.index("FROM ${BASE_IMAGE}")])
    assert "PYC_INVALIDATION_MODE=CHECKED_HASH" in building
    assert "PYTHONHASHSEED=0" in building
    assert "UV_NO_INSTALLER_METADATA=true" in building


def test_it_runs_as_a_number_and_gets_signals_itself(part, steps):
    final = steps[steps.index("FROM ${BASE_IMAGE}") :]
    assert "USER 65532:65532" in final
    assert final[-1] == f'ENTRYPOINT ["/opt/workqueue/bin/python3", "-m", "workqueue_{part}"]'


def test_pip_of_the_base_installs_for_the_workers_python():
    """In an image of a team's that is FROM the worker's; see examples/02-libraries-and-next-tasks."""
    text = (ROOT / "worker" / "Dockerfile").read_text()
    assert re.search(r"^ENV .*\bPIP_PYTHON=/opt/workqueue/bin/python3$", text, re.MULTILINE)


def test_versions_agree(steps):
    (label,) = [step for step in steps if step.startswith("LABEL")]
    assert f'org.opencontainers.image.version="{PROJECT["version"]}"' in label
    for chart in ("workqueue", "workqueue-operator"):
        read = yaml.safe_load((ROOT / "charts" / chart / "Chart.yaml").read_text())
        assert read["appVersion"] == PROJECT["version"]


def test_a_build_sees_no_more_than_it_copies():
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert ignored[0] == "*"
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert allowed == {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "requirements.lock", "broker", *PARTS}
