"""Confirmed copies of failed tasks, on a connection of their own: a broker's alarm blocks publishers, and must not
block acks. Opened when the first task fails; used by the task threads, one at a time.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from workqueue_broker.declaration import QueueDeclaration
from workqueue_broker.errors import BrokerError, BrokerUnavailable

from workqueue_worker.amqp import CopyRefused
from workqueue_worker.delivery import Delivery
from workqueue_worker.task_copy import Copy

#: Seconds; nobody turns this connection's loop between copies, so an older one may have missed heartbeats.
FRESH_SECONDS = 10.0


class Publishing(Protocol):
    """A connection that publishes: amqp.CopyLink."""

    def ensure(self, queue: QueueDeclaration) -> None: ...
    def publish(self, copy: Copy, delivery: Delivery) -> None: ...
    def close(self) -> None: ...


class Copies:
    """Publishes copies, and opens the connection for it when needed. Safe from several threads."""

    def __init__(self, open_link: Callable[[], Publishing], ensure: QueueDeclaration | None) -> None:
        """`ensure`: a queue to make on each new connection; None: all are made by somebody else."""
        self._open_link = open_link
        self._ensure = ensure
        self._link: Publishing | None = None
        self._used_at = 0.0
        self._lock = threading.Lock()

    def publish(self, copy: Copy, delivery: Delivery) -> None:
        """Return once the broker has confirmed the copy; raises CopyRefused, QueueMissing or another BrokerError."""
        with self._lock:
            link = self._fresh_link()
            try:
                link.publish(copy, delivery)
            except CopyRefused:
                raise
            except BrokerError:  # QueueMissing too: the next connection makes the queue
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

    def _fresh_link(self) -> Publishing:
        if self._link and time.monotonic() - self._used_at > FRESH_SECONDS:
            self._drop()
        if self._link is None:
            self._link = self._opened_link()
        return self._link

    def _opened_link(self) -> Publishing:
        link = None
        try:
            link = self._open_link()
            if self._ensure:
                link.ensure(self._ensure)
        except Exception as error:  # a library has many ways not to connect; the task is held, and it is tried again
            if link:
                link.close()
            if isinstance(error, BrokerError):
                raise
            raise BrokerUnavailable(f"no connection for a copy: {type(error).__name__}: {error}") from error
        return link

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link:
            link.close()
