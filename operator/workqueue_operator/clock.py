"""Time as an argument: the one object that tells it, so that tests can."""

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Two times: one to measure with, one to show."""

    def monotonic(self) -> float:
        """Seconds that only grow; for every decision."""

    def wall(self) -> float:
        """Seconds since 1970; for timestamps that people read."""


@dataclass(frozen=True)
class SystemClock:
    """The machine's time."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970."""
        return time.time()
