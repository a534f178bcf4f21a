"""The window of unconfirmed messages, between the threads that publish and the one thread that sends.

Rule: at most so many messages, and so many bytes, are unconfirmed at a time; a lock is held for appends only.
"""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable

from workqueue_producer.task import Message


class Outbox:
    """Callers offer messages; the I/O thread takes them, and frees their room when they are settled."""

    def __init__(self, window: int, window_bytes: int, wake: Callable[[], None]) -> None:
        """`wake` is called from a caller's thread, once until the next take_all."""
        self._window = window
        self._window_bytes = window_bytes
        self._wake = wake
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._none_wanted = threading.Condition(self._lock)
        self._queue: deque[Message] = deque()
        self._messages = 0
        self._bytes = 0
        #: Of the unsettled messages those that no caller has given up.
        self._wanted = 0
        self._waiting = 0
        #: Called once when there is room; a dict for its order, the values mean nothing.
        self._calls: dict[Callable[[], None], None] = {}
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
        with self._lock:
            if (self._full() or self._closed) and not self._wait_for_room(timeout):
                return False
            wake = self._append(message)
        if wake:
            self._wake()
        return True

    def offer_or_call(self, message: Message, call: Callable[[], None]) -> bool:
        """Take the message in; False when there is no room: then `call` is called once, by any thread, when it may fit.

        It is called when we are closed, too. It must neither wait nor raise.
        """
        with self._lock:
            if self._full() or self._closed:
                self._calls[call] = None
                return False
            wake = self._append(message)
        if wake:
            self._wake()
        return True

    def forget(self, call: Callable[[], None]) -> None:
        """Do not call `call`: its caller waits no longer."""
        with self._lock:
            self._calls.pop(call, None)

    def take_all(self) -> deque[Message]:
        """The messages that wait to be sent, in order."""
        with self._lock:
            taken, self._queue = self._queue, deque()
            self._woken = False
        return taken

    def free(self, messages: Collection[Message]) -> bool:
        """The messages are settled. True when callers wait for room that is there; then call `share` soon.

        Callers are woken at once when a quarter of the window is free: to wake one for each confirm costs more than the
        confirm.
        """
        with self._lock:
            for message in messages:
                self._bytes -= len(message.body)
                message.unsettled = False
                if not message.abandoned:
                    self._wanted -= 1
            self._messages -= len(messages)
            if not self._wanted:
                self._none_wanted.notify_all()
            if not (self._waiting or self._calls) or self._full():
                return False
            if self._messages > self._window * 3 // 4 or self._bytes > self._window_bytes * 3 // 4:
                return True
            calls = self._wake_callers()
        for call in calls:
            call()
        return False

    def share(self) -> None:
        """Wake the callers that wait, if there is any room."""
        with self._lock:
            calls = () if self._full() else self._wake_callers()
        for call in calls:
            call()

    def abandon(self, messages: Iterable[Message]) -> None:
        """Their caller gives them up: they are not sent again, and a drain does not wait for them."""
        with self._lock:
            for message in messages:
                if message.unsettled and not message.abandoned:
                    self._wanted -= 1
                message.abandoned = True
            if not self._wanted:
                self._none_wanted.notify_all()

    def drain(self, timeout: float) -> bool:
        """Wait until every message that was not given up is settled; False when that took longer (seconds)."""
        with self._lock:
            return self._none_wanted.wait_for(lambda: not self._wanted, timeout)

    def close(self) -> None:
        """Take nothing in any more."""
        with self._lock:
            self._closed = True
            calls = self._wake_callers()
        for call in calls:
            call()

    def _append(self, message: Message) -> bool:
        """True when the I/O thread must be woken."""
        self._queue.append(message)
        self._messages += 1
        self._wanted += 1
        self._bytes += len(message.body)
        message.unsettled = True
        wake, self._woken = not self._woken, True
        return wake

    def _wake_callers(self) -> Collection[Callable[[], None]]:
        self._room.notify_all()
        calls, self._calls = self._calls, {}
        return calls

    def _full(self) -> bool:
        return self._messages >= self._window or self._bytes >= self._window_bytes

    def _wait_for_room(self, timeout: float) -> bool:
        self._waiting += 1
        try:
            self._room.wait_for(lambda: self._closed or not self._full(), timeout)
        finally:
            self._waiting -= 1
        return not (self._closed or self._full())
