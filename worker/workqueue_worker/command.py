"""A task as a program of its own: body on stdin, metadata in the environment, the exit code is the outcome.

A process can be stopped, so the time limit is a real one: SIGTERM, then SIGKILL, to its whole process group.
"""

import contextlib
import ctypes
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO

from workqueue_worker.settlement import Failed, FailureReason, Finished, Outcome, Rejected
from workqueue_worker.task import Task

#: EX_DATAERR of sysexits.h: this input will never do.
EXIT_REJECT = 65
#: Seconds between SIGTERM and SIGKILL.
TERMINATE_SECONDS = 2.0
#: prctl(2): the kernel sends a process this signal when the thread that started it is gone.
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded now: no lock may be needed in a new process


class CommandHandler:
    """Runs one command for each task."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)

    def run(self, body: bytes, task: Task) -> Outcome:
        """See handlers.Handler."""
        try:
            environment = {**os.environ, **environment_of(task)}
            process = subprocess.Popen(  # noqa: S603 - running the user's command is the purpose
                self._command,
                stdin=subprocess.PIPE,
                env=environment,
                start_new_session=True,
                preexec_fn=_end_with_us,  # noqa: PLW1509 - one system call, which takes no lock of another thread
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            return Failed(FailureReason.EXCEPTION, f"cannot start {self._command[0]!r}: {error}")
        group = _ProcessGroup(process.pid)
        task.cancelled.call(group.stop)
        threading.Thread(target=_feed, args=(process.stdin, body), daemon=True).start()
        _await_end(process)
        stopped = task.cancelled.is_set()
        group.leave(kill=stopped)
        exit_code = process.wait()
        if stopped and exit_code != 0:  # with 0 it did its work, as a function that returns
            return Failed(FailureReason.EXIT_CODE, f"stopped, exit code {exit_code}")
        return _outcome(exit_code)


def _await_end(process: subprocess.Popen[bytes]) -> None:
    """Return when the command has ended. Its number stays its own until `process.wait()`, so no signal hits another.

    Python has no `os.waitid` on macOS before 3.13 (https://github.com/python/cpython/issues/113536). There a signal
    that is sent in the moment after the end may reach a process group that was given the number since.
    """
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:
        process.wait()


def environment_of(task: Task) -> dict[str, str]:
    """What a command learns about its task."""
    values: dict[str, object] = {
        "TASK_ID": task.id,
        "TASK_QUEUE": task.queue,
        "TASK_ATTEMPT": task.attempt,
        "TASK_REDELIVERED": str(task.redelivered).lower(),
        "TASK_CONTENT_TYPE": task.content_type,
        "TASK_ENQUEUED_AT": task.enqueued_at.isoformat() if task.enqueued_at else None,
        "TASK_CONTENT_ENCODING": task.content_encoding,
        "TASK_CORRELATION_ID": task.correlation_id,
        "TASK_REPLY_TO": task.reply_to,
        "TASK_TYPE": task.type,
        "TASK_APP_ID": task.app_id,
        "TASK_USER_ID": task.user_id,
        "TASK_EXPIRATION": task.expiration,
        "TASK_PRIORITY": task.priority,
        "TASK_HEADERS": json.dumps(_plain(task.headers)),
        "TRACEPARENT": task.traceparent,
    }
    return {name: _held(str(value)) for name, value in values.items() if value is not None}


def _held(text: str) -> str:
    """As an environment can hold it: a NUL, which ends a value there, as an escape."""
    return text.replace("\0", "\\x00")


def _plain(value: object) -> object:
    """A header's value as JSON has it; dates, bytes, decimals, and fractions that are no number, become text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


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


def _end_with_us() -> None:
    """In the new process: end when the worker is killed. Processes that the command starts are not covered."""
    if _LIBC:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _ProcessGroup:
    """The processes of one command. Once left, its number may be that of another."""

    def __init__(self, group: int) -> None:
        self._group = group
        self._left = False
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Ask all to end, and make them a little later."""
        self._signal(signal.SIGTERM)
        timer = threading.Timer(TERMINATE_SECONDS, self._signal, (signal.SIGKILL,))
        timer.daemon = True
        timer.start()

    def leave(self, *, kill: bool) -> None:
        """Send no more signals; `kill`: but this one, to what the command left behind."""
        if kill:
            self._signal(signal.SIGKILL)
        with self._lock:
            self._left = True

    def _signal(self, number: signal.Signals) -> None:
        with self._lock, contextlib.suppress(ProcessLookupError, PermissionError):  # none is left
            if not self._left:
                os.killpg(self._group, number)
