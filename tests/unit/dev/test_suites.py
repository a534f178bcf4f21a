"""Two suites side by side: each line names its suite, and one that fails fails the whole, while the other runs on."""

import sys

import pytest

from dev.suites import MODULE, Suite, side_by_side


def test_each_line_names_its_suite_and_a_failure_of_one_is_the_failure_of_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = side_by_side(Suite("broker", *MODULE, "no_such_module"), Suite("cluster", *MODULE, "base64", "-t"))
    lines = capsys.readouterr().out.splitlines()
    assert code == 1
    assert [line for line in lines if line.startswith("[broker] ") and "No module named no_such_module" in line]
    assert [line for line in lines if line.startswith("[cluster] ")]
    failed, passed = lines[-2:]
    assert failed.startswith("broker tests: FAILED after ")
    assert passed.startswith("cluster tests: passed after ")


def test_a_test_that_passed_only_in_its_second_run_is_named_in_the_last_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = "print('Run once more: tests/broker/test_a.py::test_b[4.0]'); print('1 passed')"
    assert side_by_side(Suite("broker", sys.executable, "-c", output)) == 0
    ended, again = capsys.readouterr().out.splitlines()[-2:]
    assert ended.startswith("broker tests: passed after ")
    assert again == "  Run once more: tests/broker/test_a.py::test_b[4.0]"
