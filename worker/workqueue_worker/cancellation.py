"""How an attempt is asked to end: a flag that a handler may read or wait for, and a call for code that acts at once."""

import threading
from collections.abc import Callable


class Cancellation:
    """Set once, for any thread to see. Every task has one, so its Event is made only when a thread waits: few do."""

    __slots__ = ("_callback", "_event", "_is_set", "_lock")

    def __init__(self) -> None:
        self._is_set = False
        self._event: threading.Event | None = None
        self._callback: Callable[[], object] | None = None
        self._lock = threading.Lock()

    def is_set(self) -> bool:
        """True when the attempt is to end."""
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Return when it is set, or after `timeout` seconds; True when it is set."""
        with self._lock:
            if self._is_set:
                return True
            self._event = event = self._event or threading.Event()
        return event.wait(timeout)

    def set(self) -> None:
        """Set it, and call back."""
        with self._lock:
            if self._is_set:
                return
            self._is_set = True
            event, callback = self._event, self._callback
        if event:
            event.set()
        if callback:
            callback()

    def call(self, callback: Callable[[], object]) -> None:
        """Have `callback` called once, when it is set; at once when it is set already."""
        with self._lock:
            self._callback = callback
            is_set = self._is_set
        if is_set:
            callback()
