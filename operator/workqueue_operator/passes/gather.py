"""What a pass looks at: the spec, the Deployment, its workers' health, and whether another program scaled it.

A request that the API server refuses is part of the answer, so that the pass can report it with all the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.kubernetes_values import FIELD_MANAGER
from workqueue_operator.cluster.port import Cluster, ClusterError, NotFound, Notice, Target
from workqueue_operator.memory import KnownSize, Looks, UnconfirmedScale, WorkerAnswers
from workqueue_operator.resource import InvalidSpec, Key, Mode, WorkQueue
from workqueue_operator.scaling.decision import ManualSize, Situation, Unknown, Workers
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.scaling.worker_health import Obstacle, Signs, obstacle, unconsumed
from workqueue_operator.status import conditions
from workqueue_operator.status.conditions import Condition
from workqueue_operator.status.disputes import Dispute, Facts, disputes
from workqueue_operator.store import Store
from workqueue_operator.tracked import Tracked

#: Seconds for which a size that a person or another tool gave the Deployment is kept.
MANUAL_SECONDS = 300.0
#: Seconds between two looks at pods that are not all Ready.
HEALTH_PERIOD_SECONDS = 5.0
#: Seconds between two looks for another autoscaler on the Deployment.
AUTOSCALER_PERIOD_SECONDS = 60.0


@dataclass(frozen=True)
class Observation:
    """What there is to decide about."""

    workqueue: WorkQueue
    target: Target
    situation: Situation
    #: What keeps the workers from their work; None: nothing that is seen.
    obstacle: Obstacle | None = None
    #: What contradicts the spec and ends no scaling.
    disputes: Sequence[Dispute] = ()
    #: What the API server refused to show, or still refuses: the Deployment is left alone then.
    trouble: ClusterError | None = None


@dataclass(frozen=True)
class Nothing:
    """The WorkQueue cannot be acted upon; its conditions say why and what to do."""

    conditions: Sequence[Condition]
    #: The API server does not show the Deployment.
    trouble: ClusterError | None = None
    #: What is known of the queue all the same; None: the spec cannot be used.
    reading: Counts | Unknown | None = None


class _NothingToScale(Exception):
    """Ends the gathering."""

    def __init__(self, nothing: Nothing) -> None:
        super().__init__()
        self.nothing = nothing


class Gatherer:
    """Collects what a pass decides about."""

    def __init__(self, store: Store, cluster: Cluster, clock: Clock) -> None:
        self._store = store
        self._cluster = cluster
        self._clock = clock

    async def gather(self, tracked: Tracked, reading: Counts | Unknown) -> Observation | Nothing:
        """What there is to decide about."""
        try:
            return await self._gather(tracked, reading)
        except _NothingToScale as stop:
            if isinstance(tracked.spec, InvalidSpec):
                return stop.nothing
            return replace(stop.nothing, reading=self._store.readable(tracked, reading))

    async def _gather(self, tracked: Tracked, reading: Counts | Unknown) -> Observation:
        workqueue = self._usable(tracked)
        memory, now = tracked.memory, self._clock.monotonic()
        standing = memory.refusal.error if memory.refusal and memory.refusal.stands(now) else None
        target = await self._target(workqueue.target, standing)
        trouble = standing or await self._look(tracked, target, now)
        target = self._store.target(target.key) or target
        memory.meet(target.uid)
        _stand_back(memory.looks, workqueue)
        if workqueue.mode is Mode.ACTIVE:
            _notice_foreign_size(tracked, memory.size, target, now)
        else:
            memory.size.asked_replicas = memory.size.unconfirmed = None  # another's scale is not against ours then
        hindered = self._hindered(tracked, target, reading, now)
        workers = Workers(
            *(target.replicas, target.ready, target.rolling_out),
            failing=hindered.message if hindered and hindered.stops_growth else None,
            page=f":{workqueue.metrics_port}/metrics",
        )
        manual = memory.size.manual if now < memory.size.manual_until else None
        situation = Situation(reading, workers, manual, paused=workqueue.mode is Mode.PAUSED)
        disputed = disputes(
            workqueue, target, Facts(now < memory.size.rival_until, tracked.sharers or (), tracked.consumer_timeout)
        )
        return Observation(workqueue, target, situation, hindered, disputed, trouble)

    def _hindered(self, tracked: Tracked, target: Target, reading: Counts | Unknown, now: float) -> Obstacle | None:
        memory, redelivering = tracked.memory, tracked.estimate.failing(now, target.ready)
        looks = memory.looks
        looks.unconsumed = unconsumed(looks.unconsumed, reading, target.ready, now)
        if not target.replicas:
            memory.answers = WorkerAnswers()
        signs = Signs(looks.health, redelivering, looks.unconsumed, memory.answers.silence)
        return obstacle(target, signs, now)

    def _usable(self, tracked: Tracked) -> WorkQueue:
        if isinstance(tracked.spec, InvalidSpec):
            raise _NothingToScale(Nothing(conditions.of_invalid_spec(str(tracked.spec))))
        target = tracked.spec.target
        owner = self._store.owner_of(target)
        if owner not in (None, tracked.key):
            text = f"spec.scaleTargetRef.name: the older WorkQueue {owner} scales {target.name}; delete one of the two"
            raise _NothingToScale(Nothing(conditions.of_conflict(text)))
        return tracked.spec

    async def _target(self, key: Key, standing: ClusterError | None) -> Target:
        """The Deployment as last seen; asked for when it was never seen, as its event may only be late."""
        known = self._store.target(key)
        if known:
            return known
        if standing:
            raise _NothingToScale(Nothing((), standing))
        try:
            return await self._read_target(key)
        except ClusterError as error:
            raise _NothingToScale(Nothing((), error)) from error

    async def _read_target(self, key: Key) -> Target:
        try:
            found = await self._cluster.read_target(key)
        except NotFound as error:
            self._store.forget_target(key)
            text = f"spec.scaleTargetRef.name: there is no Deployment {key.name} in {key.namespace}; create it"
            raise _NothingToScale(Nothing(conditions.of_missing_target(text))) from error
        self._store.see_target(found)
        return found

    async def _look(self, tracked: Tracked, target: Target, now: float) -> ClusterError | None:
        """Look for another autoscaler and at the workers' pods, as far as it is time to; what was refused.

        After a refusal the Deployment is read first: it may not be as it was seen.
        """
        try:
            if tracked.memory.refusal:
                target = await self._read_target(target.key)
            await self._look_for_autoscaler(tracked.memory.looks, target, now)
            await self._look_at_pods(tracked, target, now)
        except ClusterError as error:
            return error
        return None

    async def _look_for_autoscaler(self, looks: Looks, target: Target, now: float) -> None:
        if now - looks.autoscaler_at >= AUTOSCALER_PERIOD_SECONDS:
            looks.autoscaler = await self._cluster.find_autoscaler(target.key)
            looks.autoscaler_at = now

    async def _look_at_pods(self, tracked: Tracked, target: Target, now: float) -> None:
        looks = tracked.memory.looks
        troubled = target.ready < target.replicas or looks.health.failures or looks.health.failing
        if troubled and now - looks.health_at >= HEALTH_PERIOD_SECONDS:
            pods = await self._cluster.read_pods(target)
            looks.health_at = now
            looks.health = looks.health.looked(pods, now, tracked.estimate.acked_at)


def _stand_back(looks: Looks, workqueue: WorkQueue) -> None:
    """Leave a Deployment alone that a HorizontalPodAutoscaler scales: it would undo each of our steps."""
    if looks.autoscaler and workqueue.mode is Mode.ACTIVE:
        text = (
            f"spec.scaleTargetRef.name: HorizontalPodAutoscaler {looks.autoscaler} scales "
            f"{workqueue.target.name} too; delete it, or set spec.mode to DryRun"
        )
        raise _NothingToScale(Nothing(conditions.of_conflict(text)))


def _notice_foreign_size(tracked: Tracked, size: KnownSize, target: Target, now: float) -> None:
    """A Deployment that is not as we left it was scaled by a person, a manifest, another autoscaler or operator."""
    asked, size.asked_replicas = size.asked_replicas, target.replicas
    if asked is None or target.replicas == asked or _is_ours(size.unconfirmed, target.replicas, now):
        return
    if target.sized_by == FIELD_MANAGER:  # it has no hand in it: two operators would keep each other's sizes
        size.rival_until = now + MANUAL_SECONDS
        return
    size.manual = ManualSize(target.replicas, target.replicas > asked, MANUAL_SECONDS, target.sized_by)
    size.manual_until = now + MANUAL_SECONDS
    text = f"{asked} -> {target.replicas}, {size.manual.origin}; a manifest should not set spec.replicas"
    tracked.notices.append(Notice("SizeSetByOther", text))


def _is_ours(unconfirmed: UnconfirmedScale | None, replicas: int, now: float) -> bool:
    """Whether a scale of ours was carried out though its answer did not come."""
    return unconfirmed is not None and now < unconfirmed.until and replicas == unconfirmed.replicas
