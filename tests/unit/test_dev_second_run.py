"""A failure that may be a lost task is told apart by the exit code, with a real pytest and our conftest."""

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
SUITE = """
import pytest
from pathlib import Path

FAILS = Path(__file__).with_name("fails").read_text()

@pytest.mark.once
def test_nothing_is_lost(): assert FAILS != "once"
def test_anything(): assert FAILS != "other"
"""


@pytest.mark.parametrize(("fails", "exit_code"), [("once", 10), ("other", 1), ("nothing", 0)])
def test_a_failure_of_a_test_marked_once_stands(tmp_path: Path, fails: str, exit_code: int) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "fails").write_text(fails)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = once\nasyncio_default_fixture_loop_scope = function\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "conftest", str(tmp_path)]
    environment = {"PYTHONPATH": f"{CONFTEST.parent}:{CONFTEST.parent / 'support'}"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == exit_code, done.stdout + done.stderr
