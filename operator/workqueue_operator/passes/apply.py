"""Makes the Deployment what the decision says, as far as the mode, the workers and the API server allow."""

from dataclasses import dataclass, replace

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.port import Cluster, ClusterError, Conflict, Forbidden, NotFound, Rejected, Target
from workqueue_operator.memory import Memory, UnconfirmedScale
from workqueue_operator.metrics import Metrics
from workqueue_operator.passes.gather import Observation
from workqueue_operator.passes.marks import Marker
from workqueue_operator.passes.scale_down import LastLook, ScaleDowns
from workqueue_operator.passes.victim_watch import VictimWatches
from workqueue_operator.resource import Mode
from workqueue_operator.scaling.decision import ScalingDecision
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.store import Store

#: Seconds for which a scale without an answer may still be carried out: the API server's own --request-timeout.
UNANSWERED_SECONDS = 60.0
#: After these answers nothing was done: the Deployment is not as it was seen, or the scale is not allowed.
NOT_DONE = (Conflict, NotFound, Forbidden, Rejected)


@dataclass(frozen=True)
class Outcome:
    """What became of a decision."""

    decision: ScalingDecision
    target: Target
    #: The Deployment was changed, or would have been in DryRun.
    changed: bool
    #: Over all workers that answered; None: none did, or none was asked in this pass.
    tasks_in_progress: int | None = None
    #: The request that the API server refused; the Deployment is unchanged, as far as is known.
    trouble: ClusterError | None = None


class Applier:
    """Scales Deployments."""

    def __init__(self, store: Store, cluster: Cluster, metrics: Metrics, clock: Clock) -> None:
        self._store = store
        self._cluster = cluster
        self._metrics = metrics
        self._clock = clock
        self._marker = Marker(cluster, metrics, clock)
        self._scale_downs = ScaleDowns(cluster, self._marker, clock)
        self._watches = VictimWatches(store, cluster, clock)

    async def apply(self, memory: Memory, seen: Observation, decision: ScalingDecision) -> Outcome:
        """Do what the decision says, as far as the mode, the workers and the API server allow."""
        if seen.trouble:
            return Outcome(decision, seen.target, changed=False, trouble=seen.trouble)
        try:
            return await self._apply(memory, seen, decision)
        except ClusterError as error:
            return Outcome(decision, seen.target, changed=False, trouble=error)

    async def wait(self) -> None:
        """Wait until the watches over scale-downs, which continue beside the passes, are over."""
        await self._watches.wait()

    async def _apply(self, memory: Memory, seen: Observation, decision: ScalingDecision) -> Outcome:
        if decision.ask_workers:
            return await self._scale_down(memory, seen, decision)
        if decision.replicas == seen.target.replicas:
            await self._clear_marks(memory, seen)
            return Outcome(decision, seen.target, changed=False)
        if seen.workqueue.mode is not Mode.ACTIVE:
            await self._clear_marks(memory, seen)
            return Outcome(decision, seen.target, changed=decision.differs_from(memory.reported.decision))
        return Outcome(decision, await self._scale(memory, seen, decision, None), changed=True)

    async def _scale_down(self, memory: Memory, seen: Observation, decision: ScalingDecision) -> Outcome:
        standing = self._scale_downs.standing(memory, seen, decision)
        if standing:
            return Outcome(standing.decision, seen.target, False, standing.tasks_in_progress)
        found = await self._scale_downs.ask(memory, seen)
        if found.last_look:
            scaled = await self._scale(memory, seen, found.decision, found.last_look)
            return Outcome(found.decision, scaled, True, found.tasks_in_progress)
        changed = False
        if seen.workqueue.mode is not Mode.ACTIVE:
            await self._clear_marks(memory, seen)
            changed = found.decision.differs_from(memory.reported.decision)
        return Outcome(found.decision, seen.target, changed, found.tasks_in_progress)

    async def _scale(
        self, memory: Memory, seen: Observation, decision: ScalingDecision, last_look: LastLook | None
    ) -> Target:
        """Scale the Deployment; `last_look` at its workers, when it is scaled down by their answers."""
        replicas = decision.replicas
        size = memory.size
        before, until = size.unconfirmed, self._clock.monotonic() + UNANSWERED_SECONDS
        size.unconfirmed = UnconfirmedScale(replicas, until)  # noted before the call, as its answer may be lost
        try:
            with self._metrics.scale_request_seconds.time():
                scaled = await self._cluster.set_replicas(self._latest(seen.target), replicas)
        except NOT_DONE:
            size.unconfirmed = before
            raise
        except ClusterError:  # perhaps it was done
            self._watch(memory, seen, replace(seen.target, replicas=replicas), last_look)
            raise
        size.asked_replicas, size.unconfirmed = replicas, None
        memory.totals.scaled(seen.target.replicas, replicas, decision.reason, self._clock.wall())
        self._metrics.api_writes.labels("scale").inc()
        reading = decision.reading
        if isinstance(reading, Counts) and reading.asked_at is not None:
            self._metrics.scale_seconds.observe(max(0.0, self._clock.monotonic() - reading.asked_at))
        self._watch(memory, seen, scaled, last_look)
        self._store.see_target(scaled)
        return scaled

    def _latest(self, target: Target) -> Target:
        """The Deployment as last seen, if its size is still the one decided for.

        Asking the workers takes seconds, in which its status may change, and a scale to 0 is refused after any change.
        """
        known = self._store.target(target.key)
        return known if known and (known.uid, known.replicas) == (target.uid, target.replicas) else target

    def _watch(self, memory: Memory, seen: Observation, scaled: Target, last_look: LastLook | None) -> None:
        """Have the pods watched that this scale takes, and note it in the watch over the scale before."""
        key, totals = seen.workqueue.key, memory.totals
        if last_look is None:
            self._watches.note_scale_up(key, totals, scaled)
        else:
            port = seen.workqueue.metrics_port
            self._watches.of(key, totals, scaled).note_scale_down(scaled, port, last_look.asked, last_look.meant)

    async def _clear_marks(self, memory: Memory, seen: Observation) -> None:
        """Remove left-over marks, unless pods of an earlier scale-down still terminate: marks may yet choose them."""
        if not self._watches.is_watching(seen.workqueue.key, memory.totals, seen.target):
            await self._marker.clear(memory.marks, seen.target)
