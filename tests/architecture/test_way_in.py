"""What someone needs who wants to take the project: a license, a changelog, a way to report, a support matrix."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_license_is_the_whole_apache_license() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert text.lstrip().startswith("Apache License")
    assert all(f"\n   {number}. " in text for number in range(1, 10))
    assert text.index("END OF TERMS AND CONDITIONS") > 8000


def test_wheels_and_images_carry_license_and_notice() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE", "NOTICE"]
    copied = (ROOT / "Dockerfile").read_text().count("COPY README.md LICENSE NOTICE ./\n")
    assert copied == len(("operator", "worker", "producer"))
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {"!LICENSE", "!NOTICE"} <= set(ignored)


def test_the_changelog_begins_with_the_version_of_charts_and_wheels() -> None:
    (newest, *_) = re.findall(r"^## \[([^\]]+)\] - (?:Unreleased|\d{4}-\d\d-\d\d)$", changelog(), re.MULTILINE)
    charts = {yaml.safe_load(path.read_text())["version"] for path in ROOT.glob("charts/*/Chart.yaml")}
    assert {newest} == charts == {PROJECT["version"]}


def test_each_entry_of_the_changelog_stands_under_a_heading_of_keep_a_changelog() -> None:
    headings = set(re.findall(r"^### (.*)$", changelog(), re.MULTILINE))
    assert headings <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_matrix_names_the_versions_that_are_declared() -> None:
    matrix = (ROOT / "docs" / "support.md").read_text()
    for path in ROOT.glob("charts/*/Chart.yaml"):
        assert yaml.safe_load(path.read_text())["kubeVersion"] == ">=1.30.0-0"
    assert "| Kubernetes | 1.30 and newer" in matrix
    assert PROJECT["requires-python"] == ">=3.11"
    assert "| Python | 3.11 to 3.14 |" in matrix


def test_there_are_schemas_for_each_kubernetes_of_the_matrix() -> None:
    listed = re.findall(r"\b1\.3\d\b", (ROOT / "docs" / "support.md").read_text().partition("JSON schemas of")[2])[:8]
    assert listed == [f"1.{minor}" for minor in range(30, 38)]
    schemas = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    assert all((schemas / f"v{number}.0-local-strict").is_dir() for number in listed), version("kubernetes-validate")


def changelog() -> str:
    return (ROOT / "CHANGELOG.md").read_text()
