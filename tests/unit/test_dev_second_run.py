"""Which failures get a second run, with a real pytest on tests of our own making."""

import subprocess
import sys
from pathlib import Path

import pytest
from second_run import AGAIN, stands

SUITE = """
import pytest
from pathlib import Path

FAILS = Path(__file__).with_name("fails")

@pytest.mark.once
def test_nothing_is_lost(): assert FAILS.read_text() != "once"
def test_anything(): assert FAILS.read_text() != "other"
"""


@pytest.mark.parametrize(("fails", "stood"), [("once", True), ("other", False)])
def test_a_failure_of_a_test_marked_once_stands(tmp_path: Path, fails: str, stood: bool) -> None:
    suite = tmp_path / "test_suite.py"
    suite.write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-o", f"cache_dir={tmp_path}/cache", str(suite)]
    (tmp_path / "fails").write_text(fails)
    first = subprocess.run([*command, "--cache-clear"], stdout=subprocess.DEVNULL, check=False)
    assert first.returncode == pytest.ExitCode.TESTS_FAILED
    assert stands(command) is stood
    (tmp_path / "fails").write_text("nothing")
    assert subprocess.run([*command, *AGAIN], stdout=subprocess.DEVNULL, check=False).returncode == 0
