"""The workers' output is printed line by line with their names, once each."""

from pathlib import Path

import pytest
from workqueue_operator.local.lines import WorkerOutput


def test_whole_lines_are_printed_once_with_the_name_of_the_worker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, first, second = WorkerOutput(tmp_path), tmp_path / "jobs-1.log", tmp_path / "jobs-2.log"
    output.look()
    first.write_text("one\ntw")
    second.write_text("an escape \x1b[2J\n")
    output.look()
    output.look()
    assert capsys.readouterr().out == "jobs-1 | one\njobs-2 | an escape [2J\n"
    first.write_text("one\ntwo\n")
    second.unlink()
    output.look()
    assert capsys.readouterr().out == "jobs-1 | two\n"
    first.write_text("cut\n")
    output.look()
    assert capsys.readouterr().out == "jobs-1 | cut\n"
