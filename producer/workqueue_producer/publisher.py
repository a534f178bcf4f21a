"""The Publisher for applications: safe from several threads, confirmed, over one connection.

Rule: publish() returns when the broker has the message, persistent in a durable queue, or raises and names the message.
"""

import asyncio
import atexit
import functools
import itertools
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Self

from workqueue_broker.address import BrokerAddress
from workqueue_broker.declaration import QueueDeclaration

from workqueue_producer.amqp.link import Link
from workqueue_producer.amqp.properties import message_properties
from workqueue_producer.amqp.session import LinkSettings
from workqueue_producer.bulk import Bulk, Progress
from workqueue_producer.callbacks import Callbacks
from workqueue_producer.errors import NotConfirmed, PublisherClosed
from workqueue_producer.metrics import PublisherMetrics, QueueMetrics
from workqueue_producer.receipts import Awaited, TaskFuture, call_in
from workqueue_producer.task import Message, Receipt, Task

#: Seconds; a web server's own limit is often 30 or 60.
TIMEOUT = 30.0
#: Seconds for the confirms of what was submitted, at the interpreter's end and after an exception in the `with` block.
EXIT_SECONDS = 10.0

_FORKED = "the publisher was made before a fork; make one in each process"


@dataclass(frozen=True)
class PublisherSettings:
    """What an application may choose; the defaults suit most."""

    #: Messages that may be unconfirmed at a time; more wait, which is the back-pressure.
    window: int = 1000
    #: Bytes of bodies that may be unconfirmed at a time.
    window_bytes: int = 32 * 1024 * 1024
    #: True: make the queue when it is missing, also after it was deleted.
    create: bool = True
    #: Shown in the management UI.
    name: str = "workqueue-producer"


class Publisher:
    """One queue's publisher; connects at once, in the background. Make it after a fork, not before."""

    def __init__(
        self,
        address: BrokerAddress,
        queue: QueueDeclaration,
        settings: PublisherSettings = PublisherSettings(),
        metrics: PublisherMetrics | None = None,
    ) -> None:
        queue_metrics = QueueMetrics(metrics or PublisherMetrics(None), queue.name)
        chosen = (settings.create, settings.name, settings.window, settings.window_bytes)
        self._link = Link(LinkSettings(address, queue, *chosen), queue_metrics)
        self._outbox = self._link.outbox
        self._id_prefix = uuid.uuid4().hex
        self._numbers = itertools.count(1)
        self._callbacks = Callbacks()
        self._process = os.getpid()
        _open.add(self)

    def publish(
        self,
        task: bytes | Task,
        *,
        message_id: str | None = None,
        headers: Mapping[str, Any] | None = None,
        timeout: float = TIMEOUT,
    ) -> str:
        """Send one task and return its id once it is confirmed; raises NotConfirmed, within `timeout` seconds.

        `message_id` and `headers` are for a body alone; a Task has its own.
        """
        deadline = monotonic() + timeout
        future = TaskFuture(self._callbacks, waited_for=True)
        if message_id is not None or headers is not None:
            task = _task_of(task, message_id, headers or {})
        message = self._message(task, future)
        self._offer(message, timeout)
        try:
            return future.result(max(0.0, deadline - monotonic()))
        except TimeoutError:
            self._outbox.abandon([message])
            if future.done():  # confirmed between the two lines above
                return future.result()
            raise self._timed_out(message, timeout) from None
        except BaseException:  # Ctrl+C, for one
            self._outbox.abandon([message])
            raise

    async def publish_async(
        self,
        task: bytes | Task,
        *,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - as publish(), and what ends it is no TimeoutError
    ) -> str:
        """Send one task and return its id once it is confirmed; never blocks the event loop, whichever it is.

        Raises NotConfirmed within `timeout` seconds. After that, and after a cancellation, the task is not sent any
        more; it may be in the queue all the same when it was on its way.
        """
        loop = asyncio.get_running_loop()
        receipt = Awaited(loop)
        message = self._message(task, receipt)
        try:
            async with asyncio.timeout(timeout):
                await self._offer_async(message, loop)
                return await receipt.future
        except TimeoutError:
            self._outbox.abandon([message])
            if receipt.confirmed:  # in the same moment
                return message.message_id
            raise self._timed_out(message, timeout) from None
        except BaseException:
            self._outbox.abandon([message])
            raise

    def submit(self, task: bytes | Task, *, timeout: float = TIMEOUT) -> "Future[str]":
        """Send one task; its future has the id once it is confirmed.

        Waits for room in the window, at most `timeout` seconds, and raises NotConfirmed when there is none. The future
        itself has no time limit: the message is sent until it is confirmed or the publisher is closed. A task that
        fails is logged too, as its future may have been dropped.
        """
        future = TaskFuture(self._callbacks, waited_for=False)
        self._offer(self._message(task, future), timeout)
        return future

    def publish_many(
        self,
        tasks: Iterable[bytes | Task],
        *,
        timeout: float = TIMEOUT,
        progress: Progress = lambda confirmed: None,
    ) -> int:
        """Send all tasks and return how many, once all are confirmed; reads no further ahead than the window.

        Raises NotConfirmed with the tasks that it took and that are not confirmed, when `timeout` seconds pass without
        a confirm, when one cannot be sent, or when `tasks` or `progress` raises; then it takes no more. `progress`
        is called now and then with how many are confirmed; when it returns False, we give up as after the timeout.
        """
        self._check_alive()
        return Bulk(self._message, self._outbox, self._trouble, timeout, progress).run(tasks)

    def flush(self, timeout: float = TIMEOUT) -> bool:
        """Wait until everything that was taken in and not given up is settled; False when that took longer."""
        if self._forked:
            raise PublisherClosed(_FORKED)
        return self._outbox.drain(timeout)

    def close(self, timeout: float = TIMEOUT) -> None:
        """Take nothing more, wait for the confirms and for callbacks of futures, and disconnect.

        What is not confirmed by then fails. Returns at once in a forked child, where it changes nothing.
        """
        _close([self], timeout)

    @property
    def last_confirmed_at(self) -> float | None:
        """When the last confirm came (seconds, on the monotonic clock); None until the first confirm."""
        return self._link.last_confirmed_at

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = _close([self], TIMEOUT if value is None else EXIT_SECONDS)
        if not left:
            return
        failure = NotConfirmed(f"{self._trouble()} (the publisher was closed)", left)
        if value is None:
            raise failure
        value.add_note(str(failure))  # the block's own exception stays what it is

    @property
    def _forked(self) -> bool:
        """Another process has the I/O thread; here no answer ever comes, and a lock may be held forever."""
        return os.getpid() != self._process

    async def _offer_async(self, message: Message, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            self._check_alive()
            room = asyncio.Event()
            call = functools.partial(call_in, loop, room.set)
            if self._outbox.offer_or_call(message, call):
                return
            try:
                await room.wait()
            finally:
                self._outbox.forget(call)

    def _message(self, given: bytes | Task, receipt: Receipt) -> Message:
        message_id = given.message_id if isinstance(given, Task) else None
        body = given.body if isinstance(given, Task) else given
        if not isinstance(body, bytes):
            raise TypeError(f"body must be bytes, not {type(body).__name__}: encode it first")
        message_id = message_id or f"{self._id_prefix}-{next(self._numbers)}"
        return Message(given, message_id, message_properties(given, message_id), receipt, monotonic())

    def _offer(self, message: Message, timeout: float) -> None:
        self._check_alive()
        if not self._outbox.offer(message, timeout):
            self._check_alive()
            raise self._timed_out(message, timeout)

    def _check_alive(self) -> None:
        if self._forked:
            raise PublisherClosed(_FORKED)
        if self._outbox.closed:
            raise PublisherClosed("the publisher was closed; make a new one")

    def _trouble(self) -> str:
        return self._link.trouble or "the broker does not answer"

    def _timed_out(self, message: Message, timeout: float) -> NotConfirmed:
        return NotConfirmed(f"{self._trouble()} (waited {timeout:g} s)", [message.task])


def _task_of(body: bytes | Task, message_id: str | None, headers: Mapping[str, Any]) -> Task:
    if isinstance(body, Task):
        raise TypeError("message_id and headers are for a body: a Task has its own")
    return Task(body, message_id, headers)


#: The publishers that are not closed; held, as a dropped one's thread goes on sending.
_open: set[Publisher] = set()


@atexit.register
def _close_all() -> None:
    """At the interpreter's end: what is not confirmed by EXIT_SECONDS is logged with its ids, by the sender."""
    _close(list(_open), EXIT_SECONDS)


def _close(publishers: Sequence[Publisher], timeout: float) -> Sequence[Task]:
    """Close them side by side; returns what was left without a confirm and that no caller had given up.

    Each step begins for all before the next one, as their own threads do the work: at the interpreter's end no thread
    can be started that would close one of them.
    """
    deadline = monotonic() + timeout
    ours = [publisher for publisher in publishers if not publisher._forked]
    for publisher in ours:
        publisher._outbox.close()
    for publisher in ours:
        publisher._outbox.drain(max(0.0, deadline - monotonic()))
    for publisher in ours:
        publisher._link.ask_to_stop()
    left = [message.task for publisher in ours for message in publisher._link.stop()]
    for publisher in ours:
        publisher._callbacks.close(max(0.0, deadline - monotonic()))
    _open.difference_update(ours)
    return left
