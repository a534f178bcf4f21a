"""The border between loops: one that fails or stands still is counted, logged and run again, and costs no other.

It holds for whatever fails inside: no list of exceptions decides what a broker, a management API, a namespace or a
mistake of ours may do to the others.
"""

import asyncio
import logging
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workqueue_broker.backoff import full_jitter
from workqueue_broker.foreign_text import error_text

from workqueue_operator.clock import Clock
from workqueue_operator.loops.heartbeat import BEAT_SECONDS, Heartbeat
from workqueue_operator.metrics import Metrics
from workqueue_operator.serving import Health

#: Seconds without a beat after which a loop stands still. It is then cancelled and run again.
STUCK_SECONDS = 60.0
#: So many looks in a row must find it: after a standstill of the whole process each loop first needs a turn to beat.
STUCK_LOOKS = 8
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

#: A loop: a coroutine that is handed its heartbeat.
Run = Callable[[Heartbeat], Coroutine[Any, Any, None]]

log = logging.getLogger(__name__)


class StoodStill(Exception):
    """A loop gave no beat for too long."""


@dataclass(eq=False)
class _Loop:
    kind: str
    name: str
    heart: Heartbeat
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
        run: Run,
        failed: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        """Run until it returns. After each failure `failed` is called, to report it, and the loop runs again."""
        loop = _Loop(kind, name, Heartbeat(self._clock))
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
                    self._report(failed, error)
                await loop.heart.sleep(delay)
        finally:
            self._loops.discard(loop)

    def ages(self) -> dict[str, float]:
        """Seconds since each loop's last beat, by its name; of loops with the same name, the oldest."""
        return {loop.name: loop.heart.age for loop in sorted(self._loops, key=lambda loop: loop.heart.age)}

    def failures(self, name: str) -> int | None:
        """How often the loop of this name failed in a row; 0 once it ran for a minute. None: there is no such loop."""
        return max((loop.failures for loop in self._loops if loop.name == name), default=None)

    def health(self) -> Health:
        """Not fine while one of the operator's own loops does not go on; loops of tenants are only counted."""
        own = [loop for loop in self._loops if loop.kind in OWN]
        ill = {loop.name for loop in own if loop.heart.age > STUCK_SECONDS or loop.failures >= MOST_FAILURES}
        if ill:
            return Health(False, f"stands still, or fails again and again: {', '.join(sorted(ill))}")
        return Health(True, "\n".join(["ok", *self._tenants()]))

    def _tenants(self) -> list[str]:
        """How many loops of each kind are run again after a failure."""
        failing = Counter(loop.kind for loop in self._loops if loop.failures)
        return [f"{count} failed and run again: {kind}" for kind, count in sorted(failing.items())]

    async def _run(self, loop: _Loop, run: Run) -> None:
        """Run it once; raises what it raises, or StoodStill."""
        loop.heart.beat()
        started = self._clock.monotonic()
        task = asyncio.create_task(run(loop.heart))
        looks = 0
        try:
            while not task.done():
                await asyncio.wait((task,), timeout=BEAT_SECONDS)
                age = loop.heart.age
                looks = looks + 1 if age > STUCK_SECONDS else 0
                if looks >= STUCK_LOOKS:
                    raise StoodStill(f"no beat for {age:.0f} s")
                if loop.failures and self._clock.monotonic() - started >= RECOVERED_SECONDS:
                    loop.failures = 0
        finally:
            await _end(task)
        if task.cancelled():  # from within: no other code has the task
            raise StoodStill("was cancelled from within")
        task.result()

    def _count(self, loop: _Loop, error: Exception, delay: float) -> None:
        self._metrics.loop_failures.labels(loop.kind).inc()
        text = "%s: the loop failed %d times in a row, it runs again in %.1f s: %s"
        log.error(text, loop.name, loop.failures, delay, described(error))

    def _report(self, failed: Callable[[Exception], None], error: Exception) -> None:
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


def failure_of(whose: str, error: Exception) -> str:
    """For a status: without the error's words, which nothing foresaw and may be a server's or a Secret's."""
    text = f"the operator's loop for this {whose} failed ({type(error).__name__}) and is run again"
    return f"{text}; its log says where: report it if it stays"


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
