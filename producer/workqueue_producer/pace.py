"""How many tasks a second. Pure but for its clock."""

import time
from collections.abc import Callable

#: Seconds of lost time that are caught up; the rest is not, as it would come in a burst.
CATCH_UP = 1.0


class Pace:
    """`rate` tasks a second, or as fast as they are taken."""

    def __init__(self, rate: float | None, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._now = now
        self._due = now()

    def delay(self) -> float:
        """Seconds to wait before the next task."""
        if self._rate is None:
            return 0.0
        now = self._now()
        delay = max(0.0, self._due - now)
        self._due = max(self._due, now - CATCH_UP) + 1.0 / self._rate
        return delay
