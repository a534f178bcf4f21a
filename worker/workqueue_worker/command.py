"""A task as a program of its own: body on stdin, metadata in the environment, the exit code is the outcome.

A process can be stopped, so the time limit is a real one: SIGTERM, then SIGKILL, to its whole process group.
"""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from typing import IO

from workqueue_worker.cancellation import Cancellation
from workqueue_worker.settlement import Failed, FailureReason, Finished, Outcome, Rejected
from workqueue_worker.task import Task

#: EX_DATAERR of sysexits.h: this input will never do.
EXIT_REJECT = 65
#: Seconds between SIGTERM and SIGKILL.
TERMINATE_SECONDS = 2.0


class CommandHandler:
    """Runs one command for each task."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)

    def run(self, body: bytes, task: Task) -> Outcome:
        """See handlers.Handler."""
        try:
            environment = {**os.environ, **environment_of(task)}
            process = subprocess.Popen(  # noqa: S603 - running the user's command is the purpose
                self._command, stdin=subprocess.PIPE, env=environment, start_new_session=True
            )
        except (OSError, ValueError) as error:
            return Failed(FailureReason.EXCEPTION, f"cannot start {self._command[0]!r}: {error}")
        group = _ProcessGroup(process.pid)
        if isinstance(task.cancelled, Cancellation):
            task.cancelled.call(group.stop)
        threading.Thread(target=_feed, args=(process.stdin, body), daemon=True).start()
        exit_code = process.wait()
        if task.cancelled.is_set():
            group.kill()  # what the command left behind
            return Failed(FailureReason.EXIT_CODE, f"stopped, exit code {exit_code}")
        return _outcome(exit_code)


def environment_of(task: Task) -> dict[str, str]:
    """What a command learns about its task."""
    values: dict[str, object] = {
        "TASK_ID": task.id,
        "TASK_QUEUE": task.queue,
        "TASK_ATTEMPT": task.attempt,
        "TASK_REDELIVERED": str(task.redelivered).lower(),
        "TASK_CONTENT_TYPE": task.content_type,
        "TASK_ENQUEUED_AT": task.enqueued_at.isoformat() if task.enqueued_at else None,
        "TASK_HEADERS": json.dumps(dict(task.headers), default=str),  # dates, bytes, decimals
        "TRACEPARENT": task.traceparent,
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def _outcome(exit_code: int) -> Outcome:
    if exit_code == 0:
        return Finished()
    if exit_code == EXIT_REJECT:
        return Rejected(f"the command ended with exit code {EXIT_REJECT}")
    how = f"exit code {exit_code}" if exit_code > 0 else f"signal {_signal_name(-exit_code)}"
    return Failed(FailureReason.EXIT_CODE, f"the command ended with {how}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _feed(stdin: IO[bytes] | None, body: bytes) -> None:
    """Write the body from a thread of its own: a command need not read it, or not before it has written much."""
    if stdin is None:
        return
    try:
        with stdin:
            stdin.write(body)
    except OSError:
        pass  # the command has ended, or closed its stdin


class _ProcessGroup:
    """The processes of one command."""

    def __init__(self, group: int) -> None:
        self._group = group

    def stop(self) -> None:
        """Ask all to end, and make them a little later."""
        self._signal(signal.SIGTERM)
        timer = threading.Timer(TERMINATE_SECONDS, self.kill)
        timer.daemon = True
        timer.start()

    def kill(self) -> None:
        """End all."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # none is left
            os.killpg(self._group, number)
