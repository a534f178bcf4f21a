"""The window of unconfirmed messages, between the threads that publish and the one thread that sends.

Rule: at most so many messages, and so many bytes, are unconfirmed at a time; a lock is held for appends only.
"""

import threading
from collections import deque
from collections.abc import Callable

from workqueue_producer.task import Message


class Outbox:
    """Callers offer messages; the I/O thread takes them, and frees their room when they are settled."""

    def __init__(self, window: int, window_bytes: int, wake: Callable[[], None]) -> None:
        """`wake` is called from a caller's thread, once until the next take_all."""
        self._window = window
        self._window_bytes = window_bytes
        self._wake = wake
        self._room = threading.Condition(threading.Lock())
        self._queue: deque[Message] = deque()
        self._messages = 0
        self._bytes = 0
        self._waiting = 0
        self._woken = False
        self._closed = False

    @property
    def unsettled(self) -> int:
        """Messages that were taken in and are not settled yet."""
        return self._messages

    @property
    def closed(self) -> bool:
        return self._closed

    def offer(self, message: Message, timeout: float) -> bool:
        """Take the message in; False when there was no room for it within the timeout (seconds), or we are closed."""
        with self._room:
            if (self._full() or self._closed) and not self._wait_for_room(timeout):
                return False
            self._queue.append(message)
            self._messages += 1
            self._bytes += len(message.body)
            wake, self._woken = not self._woken, True
        if wake:
            self._wake()
        return True

    def take_all(self) -> deque[Message]:
        """The messages that wait to be sent, in order."""
        with self._room:
            taken, self._queue = self._queue, deque()
            self._woken = False
        return taken

    def free(self, messages: int, size: int) -> None:
        """Messages of `size` bytes together are settled."""
        with self._room:
            self._messages -= messages
            self._bytes -= size
            # Not before a quarter of the window is free: to wake a caller for each confirm costs more than the confirm.
            if self._waiting and self._messages <= self._window * 3 // 4 and self._bytes <= self._window_bytes * 3 // 4:
                self._room.notify_all()

    def drain(self, timeout: float) -> bool:
        """Wait until every message is settled; False when that took longer (seconds)."""
        with self._room:
            return self._wait(lambda: self._messages == 0, timeout)

    def close(self) -> None:
        """Take nothing in any more."""
        with self._room:
            self._closed = True
            self._room.notify_all()

    def _full(self) -> bool:
        return self._messages >= self._window or self._bytes >= self._window_bytes

    def _wait_for_room(self, timeout: float) -> bool:
        self._wait(lambda: self._closed or not self._full(), timeout)
        return not (self._closed or self._full())

    def _wait(self, fact: Callable[[], bool], timeout: float) -> bool:
        self._waiting += 1
        try:
            return self._room.wait_for(fact, timeout)
        finally:
            self._waiting -= 1
