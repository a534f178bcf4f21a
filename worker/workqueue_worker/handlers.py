"""What gives a task its work: a Python function, or the tutorial's own. A command is in command.py.

Each kind is a Handler: it gets the body and the task, and returns the outcome. It never raises.
"""

import importlib
import inspect
import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from workqueue_broker.standard_streams import say

from workqueue_worker.outcomes import one_line, outcome_of
from workqueue_worker.settlement import Finished, Outcome
from workqueue_worker.task import Reject, Retry, Task

if TYPE_CHECKING:
    from workqueue_worker.event_loop import EventLoop

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
        self._event_loop: EventLoop | None = None
        self._lock = threading.Lock()

    def run(self, body: bytes, task: Task) -> Outcome:
        """See Handler."""
        try:
            result = self._function(body, task)
            if result is not None and inspect.isawaitable(result):
                self._loop().run(result, task.cancelled)
        except BaseException as error:  # noqa: BLE001 - also sys.exit() in a handler is one failed attempt, no more
            return outcome_of(error)
        return Finished()

    def _loop(self) -> "EventLoop":
        """The one loop of this handler, made with its first coroutine."""
        from workqueue_worker.event_loop import EventLoop

        with self._lock:
            self._event_loop = self._event_loop or EventLoop()
            return self._event_loop


def tutorial(body: bytes, task: Task) -> None:
    """Tutorial two's task: a second of work for each dot, and its two lines."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Reject(f"the body is not UTF-8 text: {error.reason}") from error
    say(f" [x] Received {text!r}")
    if task.cancelled.wait(text.count(".")):
        raise Retry("stopped before the end")
    say(" [x] Done")


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
        raise HandlerError(
            f"handler {path!r} cannot be imported: {type(error).__name__}: {one_line(error)}".rstrip(": ")
        ) from error
    function: Function | None = getattr(module, name, None)
    if not callable(function):
        raise HandlerError(f"handler {path!r}: module {module_name} has no function {name}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise HandlerError(f"handler {path!r} is a generator: calling it would run nothing. Take out its yield")
    _check_parameters(path, function)
    return function


def _check_parameters(path: str, function: Callable[..., object]) -> None:
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # some callables written in C have no signature
        return
    try:
        signature.bind(b"", Task())
    except TypeError:
        raise HandlerError(
            f"handler {path!r} cannot be called with two positional arguments, the body and the task: its parameters "
            f"are {signature}. Write it as def {path.rpartition(':')[2]}(body, task)"
        ) from None
