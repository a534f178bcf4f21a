"""How long the handlers of a worker have had tasks: the sum over all tasks, those that run now included."""

import threading
import time
from collections.abc import Callable


class BusyTime:
    """Grows by one second a second for each task that a handler has. Safe from several threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic`: seconds of a clock that no one sets."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._running = 0
        #: What was summed up until `_summed_at`.
        self._seconds = 0.0
        self._summed_at = monotonic()

    def begin(self) -> None:
        """A handler gets a task."""
        self._change(1)

    def end(self) -> None:
        """The attempt at a task is over."""
        self._change(-1)

    @property
    def seconds(self) -> float:
        """Task seconds since the worker's start. Never less than it was before."""
        return self._change(0)

    def _change(self, by: int) -> float:
        with self._lock:
            now = self._monotonic()
            self._seconds += self._running * (now - self._summed_at)
            self._summed_at = now
            self._running += by
            return self._seconds
