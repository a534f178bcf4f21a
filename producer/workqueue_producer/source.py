"""Where new-task's tasks come from, at what pace, and what is left when it stops early.

Rule: a task that was taken from the input is either given out or among the rest, whenever a signal or an error comes.
"""

import errno
import os
import stat
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from workqueue_producer.interruption import Interruption
from workqueue_producer.line_stream import LineStream
from workqueue_producer.options import Options
from workqueue_producer.pace import Pace
from workqueue_producer.task import Task
from workqueue_producer.task_file import BadTaskFile, read_lines
from workqueue_producer.unconfirmed_file import TakenTasks, add_unconfirmed


class Source:
    """Iterates over the tasks, paced, until the input ends or a signal comes; `rest` are those that were not taken."""

    def __init__(self, options: Options, interruption: Interruption) -> None:
        """Raises OSError or BadTaskFile when there is nothing to read."""
        self._options = options
        self._interruption = interruption
        # Whole, now: a bad line, or a folder where nothing can be renamed, must stop us before the first task.
        self._taken = TakenTasks(options.resend) if options.resend else None
        self._stream = _stream_of(options, interruption)
        self._tasks = self._all_tasks()
        #: When the first task was taken (seconds, monotonic); None until then.
        self.first_taken_at: float | None = None
        #: Why the input could not be read further, in words.
        self.error: str | None = None

    def __iter__(self) -> Iterator[Task]:
        pace = Pace(self._options.rate)
        while self._interruption.signal is None:
            delay = pace.delay()
            if delay and not self._interruption.wait(delay):
                return
            task = next(self._tasks, None)
            if task is None:
                return
            if self.first_taken_at is None:
                self.first_taken_at = time.monotonic()
            yield task

    def rest(self) -> Iterator[Task]:
        """What was not taken; of a stream only what was read, as it may never end or a person may sit there."""
        if self._stream is not None:
            self._stream.leave()
        return self._tasks

    @property
    def is_unread(self) -> bool:
        """Whether the input may have more than was read."""
        return self.error is not None or (self._stream is not None and not self._stream.ended)

    def keep(self, tasks: Iterable[Task]) -> int:
        """Write down what must be sent again, each with an id; how many. Raises OSError."""
        named = [task if task.message_id else replace(task, message_id=uuid.uuid4().hex) for task in tasks]
        if self._taken is not None:
            return self._taken.give_back(named)
        return add_unconfirmed(self._options.unconfirmed_file, named)

    @property
    def taken_files(self) -> tuple[Path, ...]:
        """Where the tasks of a resend are on disk until they are kept."""
        return self._taken.files if self._taken is not None else ()

    def total(self) -> int | None:
        """How many tasks there are; None for a stream, which can be read only once."""
        if self._options.task is not None:
            return self._options.repeat
        if self._taken is not None:
            return len(self._taken.tasks)
        if self._stream is not None:
            return None
        with Path(str(self._options.file)).open("rb") as stream:
            return self._options.repeat * sum(1 for _ in stream)

    def _all_tasks(self) -> Iterator[Task]:
        headers, properties = self._options.headers, self._options.properties
        try:
            for _ in range(self._options.repeat):
                for task in self._once():
                    if headers or properties:
                        yield replace(task, headers={**task.headers, **headers}, **properties)
                    else:
                        yield task
        except OSError as error:
            self.error = f"cannot read {self._name()}: {error.strerror}"

    def _once(self) -> Iterator[Task]:
        options = self._options
        if options.task is not None:
            yield Task(options.task)
        elif self._taken is not None:
            yield from self._taken.tasks
        elif self._stream is not None:
            yield from map(Task, self._stream)
        else:
            with Path(str(options.file)).open("rb") as stream:
                yield from map(Task, read_lines(stream))

    def _name(self) -> str:
        return "the standard input" if self._options.file == "-" else str(self._options.file)


def _stream_of(options: Options, interruption: Interruption) -> LineStream | None:
    """The standard input, a named pipe, a terminal; None: the input can be read again. Raises OSError, BadTaskFile."""
    if options.file is None:
        return None
    if options.file == "-":
        if sys.stdin is None:
            raise BadTaskFile("the standard input is closed")
        return LineStream(sys.stdin.fileno(), interruption)
    mode = os.stat(options.file).st_mode
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), options.file)
    if options.repeat > 1:
        raise BadTaskFile(f"--repeat: {options.file} is a pipe or a device, which can be read only once")
    # Else opening a named pipe would wait for its writer, where no signal could end it.
    return LineStream(os.open(options.file, os.O_RDONLY | os.O_NONBLOCK), interruption)
