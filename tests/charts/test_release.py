"""The charts that `make release` packages: what helm packages, the same bytes each time."""

import tarfile
from pathlib import Path

import pytest
import yaml

from dev.release import CHARTS, build, export_commit, project_version
from tests.support.helm import Helm, Manifest

ROOT = Path(__file__).parents[2]
BROKER = {"broker": {"secretName": "rabbitmq"}}


@pytest.fixture
def packaged(helm: Helm, tmp_path: Path) -> Path:
    """`helm` is asked for, so that this is skipped or fails where it is missing."""
    build(tmp_path / "first", ["charts"], "")
    return tmp_path / "first"


def test_two_builds_are_the_same_bytes(packaged: Path, tmp_path: Path) -> None:
    build(tmp_path / "second", ["charts"], "")
    assert (tmp_path / "second" / "SHA256SUMS").read_text() == (packaged / "SHA256SUMS").read_text()


def test_they_have_the_projects_version(packaged: Path) -> None:
    version = project_version(ROOT)
    for chart in CHARTS:
        with tarfile.open(packaged / f"{chart}-{version}.tgz") as archive:
            file = archive.extractfile(f"{chart}/Chart.yaml")
            assert file is not None
            described = yaml.safe_load(file)
        assert (described["version"], described["appVersion"]) == (version, version)


@pytest.mark.parametrize(("chart", "values"), [("workqueue", BROKER), ("workqueue-operator", {})])
def test_an_install_makes_of_them_what_it_makes_of_the_folder(
    packaged: Path, helm: Helm, tmp_path: Path, chart: str, values: Manifest
) -> None:
    """Nothing that a template needs was left out."""
    export_commit(tmp_path / "source")
    archive = packaged / f"{chart}-{project_version(ROOT)}.tgz"
    assert helm.template(str(archive), values) == helm.template(str(tmp_path / "source" / "charts" / chart), values)
