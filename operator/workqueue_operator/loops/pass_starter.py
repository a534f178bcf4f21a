"""Starts the passes that readings ask for, at most one at a time for each WorkQueue. One that fails ends no other."""

import asyncio
import logging

from workqueue_operator.clock import Clock
from workqueue_operator.loops.border import described
from workqueue_operator.metrics import Metrics
from workqueue_operator.passes.reconcile import Reconciler
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.tracked import Tracked

#: Seconds for which a WorkQueue whose pass failed in a way that is not foreseen is left alone.
FAILED_PASS_SECONDS = 10.0

log = logging.getLogger(__name__)


class PassStarter:
    """Starts passes, and stops those under way at the end."""

    def __init__(self, reconciler: Reconciler, metrics: Metrics, clock: Clock) -> None:
        self._reconciler = reconciler
        self._metrics = metrics
        self._clock = clock
        self._passes: set[asyncio.Task[None]] = set()

    def start(self, tracked: Tracked, reading: Counts | Unknown) -> None:
        """Start a pass, unless the one before it still goes on; the next reading is never far."""
        tracked.last.reading = reading
        if self._clock.monotonic() >= tracked.next_pass_at and (tracked.running is None or tracked.running.done()):
            tracked.running = asyncio.create_task(self._pass(tracked, reading))
            self._passes.add(tracked.running)
            tracked.running.add_done_callback(self._passes.discard)

    def stop(self) -> None:
        """Cancel all passes under way."""
        for task in self._passes:
            task.cancel()

    async def _pass(self, tracked: Tracked, reading: Counts | Unknown) -> None:
        try:
            await self._reconciler.reconcile(tracked, reading)
        except Exception as error:  # noqa: BLE001 - the border: one WorkQueue's pass ends no other one's
            self._metrics.loop_failures.labels("pass").inc()
            tracked.next_pass_at = self._clock.monotonic() + FAILED_PASS_SECONDS
            text = "%s: the pass failed, the next is in %.0f s: %s"
            log.error(text, tracked.key, FAILED_PASS_SECONDS, described(error))
