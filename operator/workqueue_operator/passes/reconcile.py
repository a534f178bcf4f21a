"""One pass over one WorkQueue: gather, decide, apply, report. Called by the loops after each reading.

A request that the API server refuses ends no pass: it is a value, which the report carries, and for a moment no further
request is made for this WorkQueue.
"""

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.port import Cluster, ClusterError
from workqueue_operator.metrics import Metrics
from workqueue_operator.passes.apply import Applier, Outcome
from workqueue_operator.passes.gather import Gatherer, Nothing, Observation
from workqueue_operator.passes.refusal_log import RefusalLog
from workqueue_operator.passes.report import Reporter
from workqueue_operator.passes.turns import Turns
from workqueue_operator.scaling.decision import Unknown, decide
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.store import Store
from workqueue_operator.tracked import Tracked

#: Passes in one turn of the event loop, over all WorkQueues: a thousand of them in one would stop all else.
PASSES_AT_ONCE = 20


class Reconciler:
    """Makes the passes; the memory of each WorkQueue lies in its Tracked."""

    def __init__(
        self, gatherer: Gatherer, applier: Applier, reporter: Reporter, metrics: Metrics, clock: Clock
    ) -> None:
        self._gatherer = gatherer
        self._applier = applier
        self._reporter = reporter
        self._clock = clock
        self._refusals = RefusalLog(metrics, clock)
        self._turns = Turns(PASSES_AT_ONCE)

    @classmethod
    def of(cls, store: Store, cluster: Cluster, metrics: Metrics, clock: Clock) -> "Reconciler":
        """The passes over the WorkQueues of the store, with all of their steps."""
        return cls(
            Gatherer(store, cluster, clock),
            Applier(store, cluster, metrics, clock),
            Reporter(cluster, metrics, clock),
            metrics,
            clock,
        )

    async def wait(self) -> None:
        """Wait until the watches over scale-downs, which continue beside the passes, are over."""
        await self._applier.wait()

    async def reconcile(self, tracked: Tracked, reading: Counts | Unknown) -> None:
        """One pass; what the API server refuses is logged, counted, reported and tried again later."""
        await self._turns.take()
        seen = await self._gatherer.gather(tracked, reading)
        if isinstance(seen, Nothing):
            self._look(tracked, seen.reading)
            self._note(tracked, seen.trouble)
            await self._reporter.report_nothing(tracked, seen)
            return
        outcome = await self._act(tracked, seen)
        self._note(tracked, outcome.trouble)
        await self._reporter.report(tracked, seen, outcome)

    def _look(self, tracked: Tracked, reading: Counts | Unknown | None) -> None:
        """Note the live count, as far as it can be believed: what waits, and since when."""
        if isinstance(reading, Counts):
            empty = reading.messages_ready == 0 and (reading.consumers > 0 or reading.has_leader)
            asked_at = self._clock.monotonic() if reading.asked_at is None else reading.asked_at
            tracked.oldest.looked(asked_at, reading.messages_ready, empty=empty)

    async def _act(self, tracked: Tracked, seen: Observation) -> Outcome:
        memory, now, policy = tracked.memory, self._clock.monotonic(), seen.workqueue.scaling
        decision = decide(policy, seen.situation, memory.history, now)
        self._look(tracked, decision.reading)
        memory.remember(decision, seen.situation.workers.ready, now, policy)
        return await self._applier.apply(memory, seen, decision)

    def _note(self, tracked: Tracked, trouble: ClusterError | None) -> None:
        """Keep what was refused in this pass. The very error of before only still stands, and is no new failure."""
        memory = tracked.memory
        if trouble is None:
            memory.refusal = None
        elif memory.refusal is None or trouble is not memory.refusal.error:
            memory.refusal = self._refusals.note(tracked.key, memory.refusal, trouble)
