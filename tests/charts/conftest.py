"""Fixtures for the charts' tests: helm itself renders, so that what is tested is what a user installs."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.helm import Helm, Manifest, Pick


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    """Helm, from HELM or from PATH; without it these tests fail in CI and are skipped elsewhere."""
    program = os.environ.get("HELM") or shutil.which("helm")
    if program:
        return Helm(program, tmp_path)
    reason = "helm is not there: put it on PATH or its path into HELM"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def one() -> Pick:
    """Pick the only object of a kind."""

    def pick(objects: list[Manifest], kind: str) -> Manifest:
        (found,) = [item for item in objects if item["kind"] == kind]
        return found

    return pick
