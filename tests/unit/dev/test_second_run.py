"""What failed runs once more; not where it may be a lost task, and not where it is many tests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dev.broker_tests import show
from dev.second_run import MOST_TESTS, decided

#: Each of these starts a pytest with plugins, some with processes of its own, on a machine that may be busy.
pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[3]
SUITE = """
import os
import pytest
from pathlib import Path

FAILS = Path(__file__).with_name("fails").read_text()

assert FAILS != "import"

@pytest.mark.once
def test_nothing_is_lost(): assert FAILS != "once"
@pytest.mark.parametrize("of", ["two words"])
def test_anything(of): assert FAILS != "other"
def test_of_a_process(): assert FAILS != "process" or os._exit(3)
"""


def start(folder: Path, fails: str, *flags: str) -> "subprocess.Popen[str]":
    """A pytest that is at work on the suite."""
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "fails").write_text(fails)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = once\nasyncio_default_fixture_loop_scope = function\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-o",
        f"cache_dir={folder / 'cache'}",
        "-p",
        "tests.conftest",
        str(folder),
        *flags,
    ]
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.parametrize("flags", [(), ("-n1",)], ids=["alone", "xdist"])
@pytest.mark.parametrize(("fails", "exit_code"), [("once", 10), ("other", 1), ("nothing", 0)])
def test_a_failure_of_a_test_marked_once_stands(
    tmp_path: Path, fails: str, exit_code: int, flags: tuple[str, ...]
) -> None:
    process = start(tmp_path, fails, *flags)
    output, _ = process.communicate()
    assert process.returncode == exit_code, output


def test_a_file_that_cannot_be_imported_interrupts(tmp_path: Path) -> None:
    process = start(tmp_path, "import")
    output, _ = process.communicate()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output


def test_a_test_whose_process_died_stands_as_its_markers_are_unknown(tmp_path: Path) -> None:
    process = start(tmp_path, "process", "-n1")
    output, _ = process.communicate()
    assert process.returncode == 10, output


def test_what_fails_is_shown_and_what_passes_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with start(tmp_path, "other", "-n1") as process:
        show(process.stdout or ())
    shown = capsys.readouterr().out.splitlines()
    failed = [line for line in shown if "FAILED" in line]
    assert [line for line in failed if "test_anything[two words]" in line]
    assert not [line for line in shown if "test_nothing_is_lost" in line or "test_of_a_process" in line]


@pytest.mark.parametrize(("failures", "second"), [(1, 0), (1, 1), (MOST_TESTS, 0)])
def test_the_second_run_of_a_few_decides_and_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], failures: int, second: int
) -> None:
    assert decided(1, ran_with(tmp_path, failures), lambda: second) == second
    last = capsys.readouterr().out.splitlines()[-failures:]
    assert last == [f"Run once more: tests/test_a.py::test_{number}" for number in range(failures)]


@pytest.mark.parametrize(("code", "failures"), [(1, MOST_TESTS + 1), (10, 1), (2, 1), (0, 0)])
def test_many_failures_a_lost_task_and_an_interruption_stand(tmp_path: Path, code: int, failures: int) -> None:
    def run_again() -> int:
        pytest.fail("it ran once more")

    assert decided(code, ran_with(tmp_path, failures), run_again) == code


def ran_with(cache: Path, failures: int) -> Path:
    """A cache as pytest leaves it after so many failures."""
    file = cache / "v" / "cache" / "lastfailed"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({f"tests/test_a.py::test_{number}": True for number in range(failures)}))
    return cache
