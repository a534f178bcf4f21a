"""Tasks as lines: of text, or the JSON lines of an unconfirmed file, which keep all fields of a task and any bytes."""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from workqueue_producer.task import PROPERTIES, Task

_NUMBERS = ("priority", "expiration_ms")


class BadTaskFile(ValueError):
    """The input cannot be used; the message names the file, and the line if it is one."""


def read_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Each line without its end; an empty line is an empty task."""
    for line in stream:
        yield without_end(line)


def without_end(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r")


def read_unconfirmed(path: Path) -> Iterator[Task]:
    """The tasks of an unconfirmed file; raises BadTaskFile."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            yield _parse(line, f"{path}:{number}")


def as_line(task: Task) -> bytes:
    """One line of an unconfirmed file."""
    entry: dict[str, object] = {"message_id": task.message_id} if task.message_id else {}
    if task.headers:
        entry["headers"] = dict(task.headers)
    entry |= {name: value for name in PROPERTIES if (value := getattr(task, name)) is not None}
    try:
        entry["body"] = task.body.decode()
    except UnicodeDecodeError:
        entry["body_base64"] = base64.b64encode(task.body).decode()
    return json.dumps(entry, ensure_ascii=False).encode() + b"\n"


def _parse(line: bytes, where: str) -> Task:
    try:
        entry = json.loads(line)
        encoded = entry.get("body_base64")
        body = entry["body"].encode() if encoded is None else base64.b64decode(encoded, validate=True)
        headers = entry.get("headers") or {}
        if not isinstance(headers, dict):
            raise TypeError("headers are no object")
        fields = {name: _field(entry, name) for name in ("message_id", *PROPERTIES)}
        return Task(body, headers=headers, **fields)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        cut = "" if line.endswith(b"\n") else " (its end is missing; was its writer killed? then take the line out)"
        remedy = "give a file that new-task wrote, or --file for plain lines"
        raise BadTaskFile(f"{where}: not a task{cut}; {remedy}") from error


def _field(entry: Mapping[str, object], name: str) -> Any:
    """The value of an optional field, of the type that it must have."""
    value = entry.get(name)
    wanted = int if name in _NUMBERS else str
    if value is not None and type(value) is not wanted:
        raise TypeError(f"{name} has another type than {wanted.__name__}")
    return value
