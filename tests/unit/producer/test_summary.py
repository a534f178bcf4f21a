"""The end of new-task: its exit code, and the command that helps."""

import json
from pathlib import Path

import pytest
from workqueue_producer.summary import Summary


@pytest.mark.parametrize(
    ("summary", "code"),
    [
        (Summary("q", "Classic", 3, 0, 1.0), 0),
        (Summary("q", "Classic", 3, 1, 1.0, error="away"), 1),
        (Summary("q", "Classic", 0, 1, 1.0, error="no", refused=True), 3),
        (Summary("q", "Classic", 1, 2, 1.0, signal=2), 130),
        (Summary("q", "Classic", 1, 0, 1.0, signal=15), 143),
        (Summary("q", "Classic", 1, 0, 1.0, error="cannot read", rest_unread=True), 1),
    ],
)
def test_the_exit_code_follows_from_how_it_went(summary: Summary, code: int) -> None:
    assert summary.exit_code == code
    assert json.loads(summary.as_json())["exit_code"] == code
    assert (summary.problem() is None) == (code == 0)


def test_a_problem_names_the_command_that_fixes_it() -> None:
    summary = Summary("q", "Classic", 0, 2, 1.0, error="the broker is away", unconfirmed_file=Path("left.jsonl"))
    assert summary.problem() == (
        "new-task: the broker is away\n"
        "2 not confirmed, in left.jsonl; "
        "send them with: new-task --queue q --queue-type Classic --resend left.jsonl"
    )


def test_a_problem_says_that_the_rest_of_the_input_was_not_read() -> None:
    summary = Summary("q", "Classic", 3, 0, 1.0, error="cannot read x: gone", rest_unread=True)
    assert summary.problem() == "new-task: cannot read x: gone\nthe rest of the input was not read"
