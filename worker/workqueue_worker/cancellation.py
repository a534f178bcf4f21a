"""How an attempt is told to end: an event that a handler may look at, and one call for who must act at once."""

import threading
from collections.abc import Callable


class Cancellation(threading.Event):
    """An Event that also calls back, once, when it is set."""

    def __init__(self) -> None:
        super().__init__()
        self._callback: Callable[[], None] | None = None
        self._once = threading.Lock()

    def call(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when the event is set; at once when it is set already."""
        self._callback = callback
        if self.is_set():
            self._fire()

    def set(self) -> None:
        """Set the event, and call back."""
        super().set()
        self._fire()

    def _fire(self) -> None:
        if self._callback and self._once.acquire(blocking=False):
            self._callback()
