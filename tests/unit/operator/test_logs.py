"""The operator's log lines in JSON: one object a line, whatever the message holds."""

import json
import logging
import sys
from types import TracebackType

from workqueue_operator.logs import JsonFormatter

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def line(message: str, *arguments: object, exc_info: ExcInfo | None = None) -> str:
    record = logging.LogRecord("workqueue_operator.store", logging.WARNING, "store.py", 1, message, arguments, exc_info)
    record.created = 1_770_000_000.25
    return JsonFormatter().format(record)


def test_a_line_has_time_level_logger_and_message() -> None:
    assert json.loads(line("%s: %d replicas", "team/jobs", 3)) == {
        "time": "2026-02-02T02:40:00.250+00:00",
        "level": "warning",
        "logger": "workqueue_operator.store",
        "message": "team/jobs: 3 replicas",
    }


def test_an_exception_stays_on_the_line() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        info = (ValueError, error, sys.exc_info()[2])
    text = line("failed", exc_info=info)
    assert "\n" not in text
    assert json.loads(text)["exception"].endswith("ValueError: first\nsecond")


def test_a_message_of_many_lines_is_one_line() -> None:
    text = line("first\nsecond\x1b[31m")
    assert "\n" not in text
    assert json.loads(text)["message"] == "first\nsecond\x1b[31m"
