"""Time as an argument: what the passes and the loops measure and wait with, so that a test can set it.

The time limits of requests and connections are the machine's: they bound what really takes time.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Two times, one to measure with and one to show, and a way to let time pass."""

    def monotonic(self) -> float:
        """Seconds that only grow; for every decision."""

    def wall(self) -> float:
        """Seconds since 1970; for timestamps that people read."""

    async def sleep(self, seconds: float) -> None:
        """Wait for so long; other tasks run."""


@dataclass(frozen=True)
class SystemClock:
    """The machine's time."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait for so long; other tasks run."""
        await asyncio.sleep(seconds)
