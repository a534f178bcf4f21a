"""The border between loops: one that fails or stands still is counted, logged and run again, and costs no other.

It holds for whatever fails inside: no list of exceptions decides what a broker, a management API, a namespace or a
mistake of ours may do to the others.
"""

import asyncio
import logging
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from workqueue_broker.backoff import full_jitter
from workqueue_broker.foreign_text import error_text

from workqueue_operator.clock import Clock
from workqueue_operator.metrics import Metrics
from workqueue_operator.serving import Health

#: Seconds without a beat after which a loop stands still. It is then cancelled and run again.
STUCK_SECONDS = 60.0
#: So many looks in a row must find it: after a standstill of the whole process each loop first needs a turn to beat.
STUCK_LOOKS = 8
#: Seconds between two beats of a loop that waits, and between two looks at its beats.
BEAT_SECONDS = 1.0
#: Seconds that a cancelled loop has to clean up, before it is left behind.
LEAVE_SECONDS = 5.0
#: Bounds of the wait before a loop that failed runs again, and how long it must run until its failures are forgotten.
RETRY_BASE_SECONDS = 0.5
RETRY_CAP_SECONDS = 30.0
RECOVERED_SECONDS = 60.0
#: Failures in a row of one of the operator's own loops after which only a new process may help: in two minutes or more.
MOST_FAILURES = 10
#: Loops that the operator cannot do without. All others serve one broker, management API or namespace.
OWN = ("assign", "resync", "unread")

T = TypeVar("T")
Beat = Callable[[], None]

log = logging.getLogger(__name__)


class StoodStill(Exception):
    """A loop gave no beat for too long."""


@dataclass(eq=False)
class _Loop:
    kind: str
    name: str
    beat: float
    failures: int = 0


class Loops:
    """Runs loops, and knows how they are."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._loops: set[_Loop] = set()

    async def keep(
        self,
        kind: str,
        name: str,
        run: Callable[[Beat], Coroutine[Any, Any, None]],
        failed: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        """Run until it returns. After each failure `failed` is called, to report it, and the loop runs again."""
        loop = _Loop(kind, name, self._clock.monotonic())
        self._loops.add(loop)
        try:
            while True:
                started = self._clock.monotonic()
                try:
                    await self._run(loop, run)
                    return
                except Exception as error:  # noqa: BLE001 - the border: whatever fails inside is kept from the others
                    recovered = self._clock.monotonic() - started >= RECOVERED_SECONDS
                    loop.failures = 1 if recovered else loop.failures + 1
                    delay = full_jitter(loop.failures, base=RETRY_BASE_SECONDS, cap=RETRY_CAP_SECONDS)
                    self._count(loop, error, delay)
                    self._tell(failed, error)
                await self._wait(loop, delay)
        finally:
            self._loops.discard(loop)

    def ages(self) -> dict[str, float]:
        """Seconds since each loop's last beat, by its name; of loops with the same name, the oldest."""
        now = self._clock.monotonic()
        return {loop.name: now - loop.beat for loop in sorted(self._loops, key=lambda loop: -loop.beat)}

    def failures(self, name: str) -> int | None:
        """How often the loop of this name failed in a row; 0 once it ran for a minute. None: there is no such loop."""
        return max((loop.failures for loop in self._loops if loop.name == name), default=None)

    def health(self) -> Health:
        """Not fine while one of the operator's own loops does not go on; loops of tenants are only counted."""
        now = self._clock.monotonic()
        own = [loop for loop in self._loops if loop.kind in OWN]
        ill = {loop.name for loop in own if now - loop.beat > STUCK_SECONDS or loop.failures >= MOST_FAILURES}
        if ill:
            return Health(False, f"stands still, or fails again and again: {', '.join(sorted(ill))}")
        return Health(True, "\n".join(["ok", *self._tenants()]))

    def _tenants(self) -> list[str]:
        """How many loops of each kind are run again after a failure."""
        failing = Counter(loop.kind for loop in self._loops if loop.failures)
        return [f"{count} failed and run again: {kind}" for kind, count in sorted(failing.items())]

    async def _run(self, loop: _Loop, run: Callable[[Beat], Coroutine[Any, Any, None]]) -> None:
        """Once; raises what it raises, or StoodStill."""
        beat = self._beat_of(loop)
        beat()
        started = self._clock.monotonic()
        task = asyncio.create_task(run(beat))
        looks = 0
        try:
            while not task.done():
                await asyncio.wait((task,), timeout=BEAT_SECONDS)
                now = self._clock.monotonic()
                looks = looks + 1 if now - loop.beat > STUCK_SECONDS else 0
                if looks >= STUCK_LOOKS:
                    raise StoodStill(f"no beat for {now - loop.beat:.0f} s")
                if loop.failures and now - started >= RECOVERED_SECONDS:
                    loop.failures = 0
        finally:
            await _end(task)
        if task.cancelled():  # from within: nobody else has it
            raise StoodStill("was cancelled from within")
        task.result()

    async def _wait(self, loop: _Loop, seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while (left := deadline - asyncio.get_running_loop().time()) > 0:
            self._beat_of(loop)()
            await asyncio.sleep(min(left, BEAT_SECONDS))

    def _beat_of(self, loop: _Loop) -> Beat:
        def beat() -> None:
            loop.beat = self._clock.monotonic()

        return beat

    def _count(self, loop: _Loop, error: Exception, delay: float) -> None:
        self._metrics.loop_failures.labels(loop.kind).inc()
        text = "%s: the loop failed %d times in a row, it runs again in %.1f s: %s"
        log.error(text, loop.name, loop.failures, delay, described(error))

    def _tell(self, failed: Callable[[Exception], None], error: Exception) -> None:
        try:
            failed(error)
        except Exception as trouble:  # noqa: BLE001 - the border: what reports a failure is inside too
            log.error("a failed loop could not be reported: %s", described(trouble))


def watch_name(namespace: str) -> str:
    """The name of the loop that watches a namespace ("" for the whole cluster)."""
    return f"watch of {namespace or 'the cluster'}"


def described(error: BaseException) -> str:
    """Type, words and place of an error on one line. A traceback would hold all of its words, which may be foreign."""
    return f"{type(error).__name__}: {error_text(error)} in {place_of(error)}"


def place_of(error: BaseException) -> str:
    """The functions in which it was raised, the innermost first."""
    frames = reversed(traceback.extract_tb(error.__traceback__, limit=-6))
    return " < ".join(f"{frame.name} ({Path(frame.filename).name}:{frame.lineno})" for frame in frames)


async def _end(task: "asyncio.Task[None]") -> None:
    """Cancel it, and give it the time to give back what it has."""
    task.cancel()
    await asyncio.wait((task,), timeout=LEAVE_SECONDS)
    if task.done() and not task.cancelled():
        task.exception()  # taken, so that asyncio does not complain of it later


async def while_beating(beat: Beat, work: Awaitable[T]) -> T:
    """Wait for requests to the API server: each has a time limit of its own, and a slow one is no standstill."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            beat()
            await asyncio.wait((task,), timeout=BEAT_SECONDS)
        return task.result()
    finally:
        task.cancel()
