"""What a pass looks at: the spec, the Deployment, its workers' health, and whether somebody else scaled it."""

from collections.abc import Sequence
from dataclasses import dataclass

from workqueue_operator import conditions
from workqueue_operator.clock import Clock
from workqueue_operator.cluster import Cluster, NotFound, Target
from workqueue_operator.conditions import Condition
from workqueue_operator.demand import Counts
from workqueue_operator.resource import InvalidSpec, Mode, WorkQueue
from workqueue_operator.scaling import ManualSize, Situation, Unknown, Workers
from workqueue_operator.store import Memory, Store, Tracked, Unanswered

#: Seconds for which a size that somebody else gave the Deployment is kept.
MANUAL_SECONDS = 300.0
#: Seconds between two looks at pods that are not all Ready.
HEALTH_PERIOD_SECONDS = 5.0
#: Seconds between two looks for another autoscaler on the Deployment.
AUTOSCALER_PERIOD_SECONDS = 60.0


@dataclass(frozen=True)
class Seen:
    """What there is to decide about."""

    workqueue: WorkQueue
    target: Target
    situation: Situation


class NothingToScale(Exception):
    """The WorkQueue cannot be acted upon; its conditions say why and what to do."""

    def __init__(self, found: Sequence[Condition]) -> None:
        super().__init__(found[-1].message)
        self.conditions = found


class Gatherer:
    """Collects what a pass decides about."""

    def __init__(self, store: Store, cluster: Cluster, clock: Clock) -> None:
        self._store = store
        self._cluster = cluster
        self._clock = clock

    async def gather(self, tracked: Tracked, reading: Counts | Unknown) -> Seen:
        """What there is to decide about; raises NothingToScale or a ClusterError."""
        workqueue = self._usable(tracked)
        target = await self._target(workqueue)
        memory, now = tracked.memory, self._clock.monotonic()
        memory.meet(target.uid)
        await self._stand_back(memory, workqueue, now)
        if workqueue.mode is Mode.ACTIVE:
            _notice_manual_size(memory, target, now)
        else:
            memory.asked_replicas = memory.unanswered = None  # whoever scales it meanwhile does not do it against us
        failing_how = await self._failing(tracked, target, now) or tracked.estimate.failing(now, target.ready)
        workers = Workers(target.replicas, target.ready, target.rolling_out, failing=failing_how)
        manual = memory.manual if now < memory.manual_until else None
        return Seen(workqueue, target, Situation(reading, workers, manual, paused=workqueue.mode is Mode.PAUSED))

    def _usable(self, tracked: Tracked) -> WorkQueue:
        if isinstance(tracked.spec, InvalidSpec):
            raise NothingToScale(conditions.of_invalid_spec(str(tracked.spec)))
        target = tracked.spec.target
        owner = self._store.owner_of(target)
        if owner not in (None, tracked.key):
            text = f"spec.scaleTargetRef.name: the older WorkQueue {owner} scales {target.name}; delete one of the two"
            raise NothingToScale(conditions.of_conflict(text))
        return tracked.spec

    async def _target(self, workqueue: WorkQueue) -> Target:
        """The Deployment as last seen; asked for when it was never seen, as its event may only be late."""
        key = workqueue.target
        known = self._store.target(key)
        if known is None:
            try:
                known = await self._cluster.read_target(key)
            except NotFound as error:
                text = f"spec.scaleTargetRef.name: there is no Deployment {key.name} in {key.namespace}; create it"
                raise NothingToScale(conditions.of_missing_target(text)) from error
            self._store.see_target(known)
        return known

    async def _stand_back(self, memory: Memory, workqueue: WorkQueue, now: float) -> None:
        """Leave a Deployment alone that a HorizontalPodAutoscaler scales: it would undo each of our steps."""
        if now - memory.autoscaler_checked_at >= AUTOSCALER_PERIOD_SECONDS:
            memory.autoscaler = await self._cluster.find_autoscaler(workqueue.target)
            memory.autoscaler_checked_at = now
        if memory.autoscaler and workqueue.mode is Mode.ACTIVE:
            text = (
                f"spec.scaleTargetRef.name: HorizontalPodAutoscaler {memory.autoscaler} scales "
                f"{workqueue.target.name} too; delete it, or set spec.mode to DryRun"
            )
            raise NothingToScale(conditions.of_conflict(text))

    async def _failing(self, tracked: Tracked, target: Target, now: float) -> str | None:
        memory = tracked.memory
        troubled = target.ready < target.replicas or memory.health.failures
        if troubled and now - memory.health_checked_at >= HEALTH_PERIOD_SECONDS:
            memory.health_checked_at = now
            pods = await self._cluster.read_pods(target)
            memory.health = memory.health.looked(pods, now, tracked.estimate.acked_at)
        return memory.health.failing


def _notice_manual_size(memory: Memory, target: Target, now: float) -> None:
    """A Deployment that is not as we left it was scaled by somebody else: a person, another autoscaler, a rollback."""
    asked = memory.asked_replicas
    if asked is not None and target.replicas != asked and not _is_ours(memory.unanswered, target.replicas, now):
        memory.manual = ManualSize(target.replicas, raised=target.replicas > asked, kept_seconds=MANUAL_SECONDS)
        memory.manual_until = now + MANUAL_SECONDS
    memory.asked_replicas = target.replicas


def _is_ours(unanswered: Unanswered | None, replicas: int, now: float) -> bool:
    """Whether a scale of ours was carried out though its answer did not come."""
    return unanswered is not None and now < unanswered.until and replicas == unanswered.replicas
