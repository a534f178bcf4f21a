"""What gives a task its work: a Python function, or the tutorial's own. A command is in command.py.

Each kind is a Handler: it gets the body and the task, and says the outcome. It never raises.
"""

import asyncio
import importlib
import inspect
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Protocol

from workqueue_worker.settlement import Failed, FailureReason, Finished, Outcome, Rejected
from workqueue_worker.task import Reject, Retry, Task

#: Of an error's text, what the log and a dead letter's header keep.
DETAIL_LENGTH = 500

Function = Callable[[bytes, Task], object]


class HandlerError(Exception):
    """The handler cannot be used; the message names the remedy."""


class Handler(Protocol):
    """One way to do a task."""

    def run(self, body: bytes, task: Task) -> Outcome:
        """Do the work; every failure is an outcome."""


class PythonHandler:
    """Calls function(body, task), and awaits what it returns when that can be awaited; other results mean nothing."""

    def __init__(self, function: Function) -> None:
        self._function = function

    def run(self, body: bytes, task: Task) -> Outcome:
        """See Handler."""
        try:
            result = self._function(body, task)
            if result is not None and inspect.isawaitable(result):
                asyncio.run(_await(result))
        except Reject as reject:
            return Rejected(one_line(reject) or "rejected by the handler")
        except Retry as retry:
            return Failed(FailureReason.EXCEPTION, one_line(retry) or "the handler asks for a retry", retry.delay)
        except BaseException as error:  # noqa: BLE001 - also sys.exit() in a handler is one failed attempt, no more
            return Failed(FailureReason.EXCEPTION, f"{type(error).__name__}: {one_line(error)}".rstrip(": "))
        return Finished()


async def _await(result: Awaitable[object]) -> None:
    await result


def tutorial(body: bytes, task: Task) -> None:
    """Tutorial two's task: a second of work for each dot, and its two lines."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Reject(f"the body is not UTF-8 text: {error.reason}") from error
    _say(f" [x] Received {text!r}")
    if task.cancelled.wait(text.count(".")):
        raise Retry("stopped before the end")
    _say(" [x] Done")


def load_function(path: str) -> Function:
    """Import `module:function`, also from the working directory; raises HandlerError."""
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise HandlerError(f"handler {path!r} must be written module:function")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a script that ends itself must not look like a worker that left in order
        raise HandlerError(f"handler {path!r} cannot be imported: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise HandlerError(f"handler {path!r}: module {module_name} has no function {name}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise HandlerError(f"handler {path!r} is a generator: calling it would run nothing. Take out its yield")
    return function  # type: ignore[no-any-return]


def one_line(error: BaseException) -> str:
    """An exception's text, in one line of bounded length, whatever its __str__ does."""
    try:
        text = " ".join(str(error).split())[:DETAIL_LENGTH]
        return text.encode(errors="backslashreplace").decode()  # a header of a message takes UTF-8 only
    except Exception:  # noqa: BLE001 - a broken __str__ of a user's exception
        return "(its text cannot be read)"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
