"""Who waits for a confirm: one caller for one message, in a thread or an event loop, or one caller for many.

The I/O thread settles; the caller waits. No lock: every step is one that Python does at once.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from workqueue_producer.callbacks import Callbacks
from workqueue_producer.errors import NotConfirmed
from workqueue_producer.task import Message


class TaskFuture(Future[str]):
    """One message of a caller in a thread: the future has the message id, or the error.

    Its callbacks run in threads of their own, never in the I/O thread. Most futures are settled before anything waits
    for them, and what the base class keeps for a waiter costs more than to send the message: so it is made when the
    first part of it is asked for.
    """

    def __init__(self, callbacks: Callbacks, *, waited_for: bool) -> None:  # the base class's is called by _complete()
        self._callbacks = callbacks
        self.waited_for = waited_for
        #: What settle() left; None: not settled, or settled when the base class's parts were there.
        self._outcome: str | Exception | None = None
        self._is_complete = False
        self._completing = threading.RLock()  # of its own: one that all futures share may be held in a forked child

    def __getattr__(self, name: str) -> Any:
        """What no attribute of the object is: a part of the base class, until they are made."""
        self._complete()
        return object.__getattribute__(self, name)

    def settle(self, message: Message, error: Exception | None) -> None:
        outcome = message.message_id if error is None else not_confirmed(message, error)
        with self._completing:
            if not self._is_complete:
                self._outcome = outcome
                return
        with suppress(InvalidStateError):  # a caller has set it, which is none of our business
            _finish(self, outcome)

    def result(self, timeout: float | None = None) -> str:
        outcome = self._outcome
        return outcome if isinstance(outcome, str) else super().result(timeout)

    def add_done_callback(self, fn: Callable[["Future[str]"], object]) -> None:
        """Call it with the future, in any thread, once it is done."""
        self._callbacks.expect()
        super().add_done_callback(lambda future: self._callbacks.run(lambda: fn(future)))

    def _complete(self) -> None:
        """Make the base class's parts, all at once: another thread never sees a future that it could cancel."""
        with self._completing:
            if self._is_complete:
                return
            made: Future[str] = Future()
            made.set_running_or_notify_cancel()  # a message that may be on its way cannot be taken back
            if self._outcome is not None:
                _finish(made, self._outcome)
            self.__dict__.update(made.__dict__, _is_complete=True)


def _finish(future: "Future[str]", outcome: str | Exception) -> None:
    if isinstance(outcome, str):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)


class Awaited:
    """One message of a coroutine; its future belongs to the coroutine's event loop."""

    waited_for = True

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.future: asyncio.Future[str] = loop.create_future()
        #: Set by the I/O thread, before it calls the loop.
        self.confirmed = False

    def settle(self, message: Message, error: Exception | None) -> None:
        self.confirmed = error is None
        call_in(self._loop, lambda: self._set(message, error))

    def _set(self, message: Message, error: Exception | None) -> None:
        if self.future.done():  # its coroutine has left
            return
        if error is None:
            self.future.set_result(message.message_id)
        else:
            self.future.set_exception(not_confirmed(message, error))


class Batch:
    """Many messages of one caller, which waits until the last one is settled."""

    waited_for = True

    def __init__(self) -> None:
        #: In the order of publishing; a dict for its order, the values mean nothing.
        self.pending: dict[Message, None] = {}
        self.failed: list[tuple[Message, Exception]] = []
        self.confirmed = 0
        #: Set when the caller adds no more and nothing is pending.
        self.done = threading.Event()
        self._complete = False

    def add(self, message: Message) -> None:
        self.pending[message] = None

    def settle(self, message: Message, error: Exception | None) -> None:
        if error is None:
            self.confirmed += 1
        else:
            self.failed.append((message, error))
        self.pending.pop(message, None)
        if self._complete and not self.pending:
            self.done.set()

    def complete(self) -> None:
        """The caller adds no more."""
        self._complete = True  # before the look at pending: settle() looks in the other order
        if not self.pending:
            self.done.set()

    def unconfirmed(self) -> list[Message]:
        """What failed and what is not settled, in no way confirmed."""
        return [*(message for message, _ in self.failed), *list(self.pending)]

    def oldest_published_at(self, otherwise: float) -> float:
        """When the first pending message was published (seconds, monotonic)."""
        pending = list(self.pending)[:1]  # a copy is made at once; walking the dict is not
        return pending[0].published_at if pending else otherwise


def not_confirmed(message: Message, error: Exception) -> NotConfirmed:
    """The error of one message, with its cause."""
    failure = NotConfirmed(str(error), [message.task])
    failure.__cause__ = error
    return failure


def call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """From any thread: let the loop call it soon."""
    with suppress(RuntimeError):  # the loop is closed, and its coroutines with it
        loop.call_soon_threadsafe(call)
