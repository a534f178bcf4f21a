"""The log: to stderr, as text or as one JSON object a line; and its one line for each task.

Extra fields of a record (logger.info(…, extra={"fields": {…}})) become JSON keys, or key=value at the line's end.
"""

import json
import logging
import re
import sys
import time
import traceback
from enum import StrEnum
from typing import Any


class LogFormat(StrEnum):
    """The values of LOG_FORMAT."""

    TEXT = "text"
    JSON = "json"


class _Formatter(logging.Formatter):
    """In UTC; remembers the last second's text, as a line for each task may mean thousands a second."""

    default_time_format = "%Y-%m-%d %H:%M:%S"
    before_milliseconds, after_milliseconds = ",", ""

    def __init__(self) -> None:
        super().__init__()
        self._second: tuple[int, str] = (0, "")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - the library's
        second, text = self._second
        if second != int(record.created):
            second = int(record.created)
            text = time.strftime(datefmt or self.default_time_format, time.gmtime(second))
            self._second = second, text
        return f"{text}{self.before_milliseconds}{int(record.msecs):03d}{self.after_milliseconds}"


class TextFormatter(_Formatter):
    """For people: a line that ends with its fields."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{self.formatTime(record)} {record.levelname:7} {record.getMessage()}"
        fields = " ".join(f"{name}={_plain(value)}" for name, value in _fields(record).items())
        return "\n".join(part for part in (f"{line} {fields}".rstrip(), _exception(record)) if part)


class JsonFormatter(_Formatter):
    """For machines: one object a line."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    before_milliseconds, after_milliseconds = ".", "Z"

    def format(self, record: logging.LogRecord) -> str:
        values = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            values["exception"] = _exception(record)
        return _JSON.encode(values)


_is_plain = re.compile(r'[^ "=\n]+').fullmatch
_JSON = json.JSONEncoder(ensure_ascii=False, default=str)  # json.dumps would make one for each line


def configure(log_format: LogFormat) -> None:
    """Send the program's log to stderr; the libraries' own only when something is wrong with them."""
    formatter: logging.Formatter = JsonFormatter() if log_format is LogFormat.JSON else TextFormatter()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Nobody reads these; without them a line costs a third less (Python's logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # it logs each failure several times; ours say it once


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, "fields", {})


def _plain(value: object) -> str:
    text = str(value)
    return text if _is_plain(text) else json.dumps(text, ensure_ascii=False)


def _exception(record: logging.LogRecord) -> str:
    return "".join(traceback.format_exception(*record.exc_info)).rstrip() if record.exc_info else ""
