"""The cluster tests in several processes: names of their own, one definition, and what was run once more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dev.second_run import failed

pytestmark = pytest.mark.timeout(300)  # each starts programs, on a machine that may be busy
ROOT = Path(__file__).resolve().parents[3]
SUITE = """
import fcntl
import pytest
from dev.local_cluster.locks import lock_file


def held_alone():
    with lock_file("tests-definition").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def held_at_all():
    with lock_file("tests-definition").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.mark.alone
def test_alone(): assert held_alone()


def test_other(): assert held_at_all() and not held_alone()


def test_fails(): assert False
"""


@pytest.fixture
def run(tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    """A suite with the fixtures of the cluster tests, without a cluster."""
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = alone\nasyncio_default_fixture_loop_scope = function\n")
    options = ["-v", "-p", "tests.cluster.conftest", "-o", f"cache_dir={tmp_path / 'cache'}", str(tmp_path)]
    environment = {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "locks"), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "pytest", *options]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


def test_a_test_marked_alone_comes_last_and_shares_the_definition_with_no_other(
    run: "subprocess.CompletedProcess[str]", tmp_path: Path
) -> None:
    ended = [line.split()[:2] for line in run.stdout.splitlines() if line.startswith("test_suite.py::")]
    assert ended == [
        ["test_suite.py::test_other", "PASSED"],
        ["test_suite.py::test_fails", "FAILED"],
        ["test_suite.py::test_alone", "PASSED"],
    ], run.stdout + run.stderr
    assert failed(tmp_path / "cache") == ["test_suite.py::test_fails"]


@pytest.mark.parametrize(("process", "ending"), [("", ""), ("gw1", "-gw1")])
def test_each_process_has_namespaces_of_its_own(process: str, ending: str) -> None:
    code = "from tests.support.work import *; print(SYSTEM, SERVED, UNSERVED, DELETED, BROKER)"
    environment = {**os.environ, "PYTEST_XDIST_WORKER": process}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    kinds = ("-system", "", "-unserved", "-deleted", "-broker")
    assert done.stdout.split() == [f"workqueue-test{kind}{ending}" for kind in kinds]
