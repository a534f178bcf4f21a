"""Time as an argument: the one object that tells it, so that tests can."""

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
        """Let others go on for so long."""


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
        """Let others go on for so long."""
        await asyncio.sleep(seconds)
