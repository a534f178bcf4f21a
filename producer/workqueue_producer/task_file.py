"""Tasks in a file: lines of text, or the JSON lines of an unconfirmed file, which keep id, headers and any bytes."""

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from workqueue_producer.task import Task


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


def add_unconfirmed(path: Path, tasks: Iterable[Task]) -> int:
    """Add the tasks to the file, which is made only for the first one; how many there were."""
    count = 0
    with ExitStack() as files:
        for count, task in enumerate(tasks, 1):
            if count == 1:
                stream = files.enter_context(path.open("ab"))
            stream.write(as_line(task))
    return count


def replace_unconfirmed(path: Path, tasks: Iterable[Task]) -> int:
    """Leave only these tasks in the file, and no file without any; how many there are."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    count = add_unconfirmed(part, tasks)
    if count:
        part.replace(path)
    else:
        path.unlink(missing_ok=True)
    return count


def as_line(task: Task) -> bytes:
    """One line of an unconfirmed file."""
    entry: dict[str, object] = {"message_id": task.message_id} if task.message_id else {}
    if task.headers:
        entry["headers"] = dict(task.headers)
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
        message_id, headers = entry.get("message_id"), entry.get("headers") or {}
        if not isinstance(message_id, str | None) or not isinstance(headers, dict):
            raise TypeError("message_id is no text, or headers are no object")
        return Task(body, message_id, headers)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise BadTaskFile(f"{where}: not a task; give a file that new-task wrote, or --file for plain lines") from error
