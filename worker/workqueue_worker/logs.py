"""The worker's log: to stderr, as text or as one JSON object a line; and its one line for each task.

The worker's loggers are its own: they hang on no logger of Python's global tree, so that no configuration of logging in
the handler's process silences or breaks them, and nothing of that configuration has to change for them. The global root
logger gets the same format until the handler's module configures it otherwise.

Extra fields of a record (logger.info(…, extra={"fields": {…}})) become JSON keys, or key=value at the line's end.
"""

import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TextIO


class LogFormat(StrEnum):
    """The values of LOG_FORMAT."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The values of LOG_LEVEL."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


#: As Python names them; the process may rename its own.
_LEVEL_NAMES = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}


class _Record(logging.LogRecord):
    """A record of the worker's. Source line, thread and process are not looked up: no format of ours prints them."""

    args: Any = ()
    fields: dict[str, Any] = {}  # noqa: RUF012 - replaced, never changed
    traceback = ""
    exc_text: str | None = None
    stack_info: str | None = None
    pathname = filename = module = funcName = processName = ""  # noqa: N815 - the library's
    lineno = 0
    process = thread = threadName = taskName = None  # noqa: N815 - the library's
    relativeCreated = 0.0  # noqa: N815 - the library's

    def __init__(self, name: str, level: int, message: object, args: Any, exc_info: Any) -> None:
        self.name, self.levelno, self.levelname = name, level, _LEVEL_NAMES[level]
        self.msg, self.exc_info = message, exc_info
        if args:
            self.args = args
        self.created = time.time()
        self.msecs = self.created % 1 * 1000


class _Logger(logging.Logger):
    """Makes such records, whatever class or factory the process has set for others."""

    def findCaller(self, *_: Any, **__: Any) -> tuple[str, int, str, str | None]:  # noqa: N802 - the library's
        return "", 0, "", None

    def makeRecord(  # noqa: N802 - the library's, with its parameters
        self,
        name: str,
        level: int,
        fn: str,
        lno: int,
        msg: object,
        args: Any,
        exc_info: Any,
        func: str | None = None,
        extra: Mapping[str, object] | None = None,
        sinfo: str | None = None,
    ) -> logging.LogRecord:
        record = _Record(name, level, msg, args, exc_info)
        record.__dict__.update(extra or {})
        return record


class _Stderr(logging.StreamHandler[Any]):
    """Never raises: a closed or full stderr is no reason for a worker to end."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's
        """There is no reader left for an error about stderr."""


_root = logging.RootLogger(logging.INFO)
_manager = logging.Manager(_root)
_manager.setLoggerClass(_Logger)
_root.manager = _manager  # whose loggers forget their levels when the root's changes


def logger(name: str) -> logging.Logger:
    """The worker's logger of that name, out of reach of the process's own configuration."""
    return _manager.getLogger(name)


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
    """For people: a line that ends with its fields. Whatever comes after the record's first line is indented."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{self.formatTime(record)} {record.levelname:7} {record.name}: {record.getMessage()}"
        fields = " ".join([f"{name}={_plain(value)}" for name, value in _fields(record).items()])
        parts = [part for part in (f"{line} {fields}".rstrip(), _exception(record), record.stack_info) if part]
        return _printable("\n".join(parts)).replace("\n", "\n    ")


class JsonFormatter(_Formatter):
    """For machines: one object a line."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    before_milliseconds, after_milliseconds = ".", "Z"

    def format(self, record: logging.LogRecord) -> str:
        values = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "exception": _exception(record),
            "stack": record.stack_info,
        }
        values = {name: value for name, value in values.items() if value or name == "message"}
        for name, value in _fields(record).items():
            values[f"{name}_" if name in values else name] = value
        return _printable(_encode(values))


_is_plain = re.compile(r'[^\s"=]+').fullmatch
#: Control characters but tab and newline, and what else starts a line or turns it around: a terminal would obey them.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str)  # json.dumps would make one for each line
#: What a record has without anybody's `extra`.
_OF_A_RECORD = {*logging.LogRecord("", 0, "", 0, "", (), None).__dict__, "message", "asctime", "taskName"}


def configure(log_format: LogFormat, level: LogLevel = LogLevel.INFO, stream: TextIO | None = None) -> None:
    """Send the worker's log to `stream` (None: stderr), and all others' until the handler's module configures them."""
    formatter: logging.Formatter = JsonFormatter() if log_format is LogFormat.JSON else TextFormatter()
    ours, others = _Stderr(stream or sys.stderr), logging.StreamHandler(stream or sys.stderr)
    for handler in (ours, others):
        handler.setFormatter(formatter)
    _root.handlers = [ours]
    _root.setLevel(level)
    logging.basicConfig(level=level, handlers=[others], force=True)
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # it logs each failure several times; ours say it once


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller gave as `extra`, with the names in `fields` as names of their own."""
    if isinstance(record, _Record):
        return record.fields
    given = {name: value for name, value in record.__dict__.items() if name not in _OF_A_RECORD}
    fields = given.pop("fields", {})
    return {**given, **fields} if isinstance(fields, dict) else {**given, "fields": fields}


def _encode(values: dict[str, Any]) -> str:
    try:
        return _JSON.encode(values)
    except (TypeError, ValueError, RecursionError):  # a value that JSON cannot hold, such as NaN or one in a circle
        return _JSON.encode({name: _held(value) for name, value in values.items()})


def _held(value: object) -> object:
    try:
        _JSON.encode(value)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
    return value


def _printable(text: str) -> str:
    """Control characters as escapes, which JSON reads as the same characters."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: object) -> str:
    text = str(value)
    return text if _is_plain(text) else json.dumps(text, ensure_ascii=False)


def _exception(record: logging.LogRecord) -> str:
    """The record's traceback, or the text that stands for one."""
    if record.exc_info and record.exc_info[0]:
        return "".join(traceback.format_exception(*record.exc_info)).rstrip()
    return record.traceback if isinstance(record, _Record) else record.exc_text or ""
