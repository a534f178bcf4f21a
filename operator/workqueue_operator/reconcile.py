"""One pass over one WorkQueue: gather, decide, apply, report. Called by the loops after each reading.

What goes wrong with the cluster ends the pass as a ClusterError; a later reading starts the next one.
"""

import logging

from workqueue_broker.backoff import full_jitter

from workqueue_operator.apply import Applier
from workqueue_operator.clock import Clock
from workqueue_operator.cluster import ClusterError
from workqueue_operator.demand import Counts
from workqueue_operator.gather import Gatherer, NothingToScale
from workqueue_operator.metrics import Metrics
from workqueue_operator.report import Reporter
from workqueue_operator.scaling import Unknown, decide, readable
from workqueue_operator.store import Tracked
from workqueue_operator.turns import Turns

#: Bounds of the wait after a refused or unanswered request, seconds.
RETRY_BASE_SECONDS = 0.5
RETRY_CAP_SECONDS = 30.0
#: Passes in one turn of the event loop, over all WorkQueues: a thousand of them in one would stop all else.
PASSES_AT_ONCE = 20

log = logging.getLogger(__name__)


class Reconciler:
    """Makes the passes; the memory of each WorkQueue lies in its Tracked."""

    def __init__(
        self, gatherer: Gatherer, applier: Applier, reporter: Reporter, metrics: Metrics, clock: Clock
    ) -> None:
        self._gatherer = gatherer
        self._applier = applier
        self._reporter = reporter
        self._metrics = metrics
        self._clock = clock
        self._turns = Turns(PASSES_AT_ONCE)

    async def reconcile(self, tracked: Tracked, reading: Counts | Unknown) -> None:
        """One pass; a ClusterError is counted and told, and the cluster left alone for a moment."""
        memory = tracked.memory
        await self._turns.take()
        if self._clock.monotonic() < memory.retry_at:
            return
        try:
            await self._pass(tracked, reading)
            memory.failures = 0
        except ClusterError as error:
            memory.failures += 1
            delay = full_jitter(memory.failures, base=RETRY_BASE_SECONDS, cap=RETRY_CAP_SECONDS)
            memory.retry_at = self._clock.monotonic() + delay
            self._metrics.cluster_errors.labels(error.kind).inc()
            log.warning("%s: %s; trying again in %.1f s", tracked.key, error, delay)

    async def _pass(self, tracked: Tracked, reading: Counts | Unknown) -> None:
        try:
            seen = await self._gatherer.gather(tracked, reading)
        except NothingToScale as nothing:
            await self._reporter.report_nothing(tracked, nothing.conditions)
            return
        now = self._clock.monotonic()
        decision = decide(seen.workqueue.scaling, seen.situation, tracked.memory.history, now)
        believed = readable(reading, seen.situation.workers, tracked.memory.history.in_use)
        tracked.memory.remember(decision, believed, now, seen.workqueue.scaling)
        outcome = await self._applier.apply(tracked.memory, seen, decision)
        await self._reporter.report(tracked, seen, outcome)
