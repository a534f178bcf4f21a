"""Confirmed copies of failed tasks, on a connection of their own: a broker's alarm blocks publishers, and must not
block acks. Opened when a task fails, used by the task threads, one at a time, and closed when it is idle: no thread
answers the broker's heartbeats between copies.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from workqueue_broker.declaration import QueueDeclaration
from workqueue_broker.errors import BrokerError, BrokerUnavailable, QueueMissing

from workqueue_worker.amqp import CopyRefused, NotSendable
from workqueue_worker.delivery import Delivery
from workqueue_worker.task_copy import Copy

#: Seconds after which an idle connection is closed; well below the heartbeat, which no thread answers then.
IDLE_SECONDS = 10.0


class Publishing(Protocol):
    """A connection that publishes: amqp.CopyLink."""

    def ensure(self, queue: QueueDeclaration) -> None: ...
    def publish(self, copy: Copy, delivery: Delivery) -> None: ...
    def close(self) -> None: ...


class CopyPublisher:
    """Publishes copies, and opens the connection for it when needed. Safe from several threads."""

    def __init__(
        self,
        open_link: Callable[[], Publishing],
        ensure: QueueDeclaration | None,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        """`ensure`: a queue to make when a copy for it finds it missing; None: the worker makes no queues."""
        self._open_link = open_link
        self._ensure = ensure
        self._idle_seconds = idle_seconds
        self._link: Publishing | None = None
        self._used_at = 0.0
        self._lock = threading.Lock()
        self._watched = False

    def publish(self, copy: Copy, delivery: Delivery) -> None:
        """Return once the broker has confirmed the copy; raises CopyRefused, QueueMissing or another BrokerError."""
        with self._lock:
            link = self._fresh_link()
            self._watch_idleness(self._idle_seconds)
            try:
                self._publish(link, copy, delivery)
            except (CopyRefused, QueueMissing, NotSendable):  # the connection is as good as before
                raise
            except BrokerError:
                self._drop()
                raise
            finally:
                self._used_at = time.monotonic()

    def close(self) -> None:
        """Leave, unless a copy is under way."""
        if self._lock.acquire(blocking=False):
            try:
                self._drop()
            finally:
                self._lock.release()

    def _publish(self, link: Publishing, copy: Copy, delivery: Delivery) -> None:
        try:
            link.publish(copy, delivery)
        except QueueMissing:
            if self._ensure is None or self._ensure.name != copy.queue:
                raise
            link.ensure(self._ensure)
            link.publish(copy, delivery)

    def _fresh_link(self) -> Publishing:
        if self._link and time.monotonic() - self._used_at > self._idle_seconds:  # the timer may be late
            self._drop()
        if self._link is None:
            self._link = self._opened_link()
        return self._link

    def _watch_idleness(self, seconds: float) -> None:
        if not self._watched:
            self._watched = True
            timer = threading.Timer(seconds, self._close_if_idle)
            timer.daemon = True
            timer.start()

    def _close_if_idle(self) -> None:
        with self._lock:
            self._watched = False
            link = self._link
            if link is None:
                return
            idle_left = self._used_at + self._idle_seconds - time.monotonic()
            if idle_left > 0:
                self._watch_idleness(idle_left)
                return
            self._link = None
        link.close()  # may take its time: other threads need no wait for it

    def _opened_link(self) -> Publishing:
        try:
            return self._open_link()
        except BrokerError:
            raise
        except Exception as error:  # a library has many ways not to connect; the task is held, and it is tried again
            raise BrokerUnavailable(f"no connection for a copy: {type(error).__name__}: {error}") from error

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link:
            link.close()
