"""The heartbeat of a loop: it shows that the loop goes on. The loops do their waiting here, by the operator's clock."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from workqueue_operator.clock import Clock

#: Seconds between two beats of a loop that waits, and between two looks at its beats.
BEAT_SECONDS = 1.0

T = TypeVar("T")


class Heartbeat:
    """The beats of one loop, which is handed it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.monotonic()

    @property
    def age(self) -> float:
        """Seconds since the last beat."""
        return self._clock.monotonic() - self._last

    def beat(self) -> None:
        """Show that the loop goes on."""
        self._last = self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait, and beat while waiting."""
        deadline = self._clock.monotonic() + seconds
        while (left := deadline - self._clock.monotonic()) > 0:
            self.beat()
            await self._clock.sleep(min(left, BEAT_SECONDS))

    async def sleep_until(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for an event, for at most so many seconds, and beat while waiting."""
        waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self.sleep(seconds))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def during(self, work: Awaitable[T]) -> T:
        """Wait for requests to the API server: each has a time limit of its own, and a slow one is no standstill."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                self.beat()
                await asyncio.wait((task,), timeout=BEAT_SECONDS)
            return task.result()
        finally:
            task.cancel()
