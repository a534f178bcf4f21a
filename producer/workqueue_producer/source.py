"""Where new-task's tasks come from, at what pace, and what is left when it stops early."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from workqueue_producer.options import Options
from workqueue_producer.task import Task
from workqueue_producer.task_file import read_lines, read_unconfirmed

_HINT = b"new-task: interrupted; waiting for the confirms of what was sent (once more: do not wait)\n"


class Interrupted(BaseException):
    """A signal, while the source waits for input or for its pace; not an Exception, as nobody but us may catch it."""


@dataclass
class Interruption:
    """What the signal handler and the source know of each other; both run in the main thread."""

    #: The signal's number; None: none came.
    signal: int | None = None
    #: A second one came: do not wait for confirms.
    hurry: bool = False
    #: The source waits, so the signal must end that wait.
    waiting: bool = False

    def on_signal(self, number: int, _: object) -> None:
        self.hurry = self.signal is not None
        self.signal = number
        if not self.hurry:
            os.write(2, _HINT)  # not through sys.stderr, which may be in the middle of a write
        if self.waiting:
            raise Interrupted

    @contextmanager
    def may_interrupt(self) -> Iterator[None]:
        self.waiting = True
        try:
            if self.signal is not None:
                raise Interrupted
            yield
        finally:
            self.waiting = False


class Source:
    """Iterates over the tasks, paced; `rest` are those that were not taken."""

    def __init__(self, options: Options, interruption: Interruption) -> None:
        """Raises OSError or BadTaskFile when there is nothing to read."""
        self._options = options
        self._interruption = interruption
        # Read whole, now: the file is written anew at the end, and a bad line must stop us before the first task.
        self._resend = list(read_unconfirmed(options.resend)) if options.resend else None
        self._tasks = self._all_tasks()
        #: When the first task was taken (seconds, monotonic); None: none was.
        self.first_taken_at: float | None = None

    def __iter__(self) -> Iterator[Task]:
        pace = _pace(self._options.rate)
        while True:
            try:
                with self._interruption.may_interrupt():
                    pace()
                    task = next(self._tasks, None)
            except Interrupted:
                return
            if task is None:
                return
            if self.first_taken_at is None:
                self.first_taken_at = time.monotonic()
            yield task

    def rest(self) -> Iterator[Task]:
        """What was not taken; after an interruption without the standard input, as a person may sit there."""
        if self._options.file == "-" and self._interruption.signal is not None:
            return iter(())
        return self._tasks

    def total(self) -> int | None:
        """How many tasks there are; None for the standard input."""
        if self._options.task is not None:
            return self._options.repeat
        if self._options.file == "-":
            return None
        if self._resend is not None:
            return len(self._resend)
        with Path(str(self._options.file)).open("rb") as stream:
            return self._options.repeat * sum(1 for _ in stream)

    def _all_tasks(self) -> Iterator[Task]:
        headers = self._options.headers
        for _ in range(self._options.repeat):
            for task in self._once():
                yield replace(task, headers={**task.headers, **headers}) if headers else task

    def _once(self) -> Iterator[Task]:
        options = self._options
        if options.task is not None:
            yield Task(options.task)
        elif self._resend is not None:
            yield from self._resend
        elif options.file == "-":
            yield from map(Task, read_lines(sys.stdin.buffer))
        else:
            with Path(str(options.file)).open("rb") as stream:
                yield from map(Task, read_lines(stream))


def _pace(rate: float | None) -> Callable[[], None]:
    """Waits before each task so that there are `rate` a second; time that was lost is not caught up in a burst."""
    if rate is None:
        return lambda: None
    due = time.monotonic()

    def wait() -> None:
        nonlocal due
        now = time.monotonic()
        if due > now:
            time.sleep(due - now)
        due = max(due, now - 1.0) + 1.0 / rate

    return wait
