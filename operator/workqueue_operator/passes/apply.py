"""Makes the Deployment what the decision says. A shrink takes only workers that were just seen idle.

Order of a shrink: ask every worker, mark the ones to go, read the marks back and ask those again, then scale, then
watch who goes. What remains is the time from the last answer to the worker's SIGTERM; its drain finishes the task.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.port import Cluster, ClusterError, Conflict, Forbidden, NotFound, Rejected, Target
from workqueue_operator.memory import Memory, ScaleDownRound, UnconfirmedScale
from workqueue_operator.metrics import Metrics
from workqueue_operator.passes.asking import ask
from workqueue_operator.passes.gather import Observation
from workqueue_operator.passes.marks import Marker
from workqueue_operator.passes.victim_watch import VictimWatch
from workqueue_operator.resource import Key, Mode
from workqueue_operator.scaling.decision import ScalingDecision, decide
from workqueue_operator.scaling.deletion_order import Departure, WorkerAnswer, choose, removable, removable_once_marked
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.scaling.victims import State, Victim
from workqueue_operator.scaling.worker_health import silent_since
from workqueue_operator.store import Store
from workqueue_operator.totals import Totals

#: Seconds between two rounds of asking the workers while a shrink waits for them.
ASK_PERIOD_SECONDS = 1.0
#: Seconds from the marks to the second look. The ReplicaSet's controller chooses by what its watch has told it, and
#: that is behind the API server (kubernetes#126138); the second answers come after, so that they are not older for it.
SETTLE_SECONDS = 0.1
#: Seconds for which a scale without an answer may still be carried out: the API server's own --request-timeout.
UNANSWERED_SECONDS = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of a decision."""

    decision: ScalingDecision
    target: Target
    #: The Deployment was changed, or would have been in DryRun.
    changed: bool
    #: Over all workers that answered; None: none did, or none was asked in this pass.
    tasks_in_progress: int | None = None
    #: The request that the API server refused; the Deployment is as it was, as far as is known.
    trouble: ClusterError | None = None


@dataclass(frozen=True)
class Shrink:
    """A shrink that may be carried out: by the last look, the first to be deleted are all idle."""

    asked: Sequence[WorkerAnswer]
    #: UIDs of the pods that are meant to go.
    meant: frozenset[str]


@dataclass(frozen=True)
class _Watched:
    """Whose scales of which Deployment a watch is over."""

    memory: Memory
    target_uid: str
    watch: VictimWatch


class Applier:
    """Scales Deployments."""

    def __init__(self, store: Store, cluster: Cluster, metrics: Metrics, clock: Clock) -> None:
        self._store = store
        self._cluster = cluster
        self._metrics = metrics
        self._clock = clock
        self._marker = Marker(cluster, metrics, clock)
        self._watches: dict[Key, _Watched] = {}

    async def apply(self, memory: Memory, seen: Observation, decision: ScalingDecision) -> Outcome:
        """Do what the decision says, as far as the mode, the workers and the API server allow."""
        if seen.trouble:
            return Outcome(decision, seen.target, changed=False, trouble=seen.trouble)
        try:
            return await self._apply(memory, seen, decision)
        except ClusterError as error:
            return Outcome(decision, seen.target, changed=False, trouble=error)

    async def _apply(self, memory: Memory, seen: Observation, decision: ScalingDecision) -> Outcome:
        if decision.ask_workers:
            return await self._shrink_if_asked(memory, seen, decision)
        if decision.replicas == seen.target.replicas:
            await self._clear_marks(memory, seen)
            return Outcome(decision, seen.target, changed=False)
        if seen.workqueue.mode is not Mode.ACTIVE:
            await self._clear_marks(memory, seen)
            return Outcome(decision, seen.target, changed=decision.differs_from(memory.decision))
        return Outcome(decision, await self._scale(memory, seen, decision, None), changed=True)

    async def wait(self) -> None:
        """Until the watching that goes on beside the passes is done."""
        await asyncio.gather(*(watched.watch.wait() for watched in self._watches.values()))

    async def _shrink_if_asked(self, memory: Memory, seen: Observation, decision: ScalingDecision) -> Outcome:
        """Ask the workers, unless what they last said still stands."""
        now, held = self._clock.monotonic(), memory.held
        if held and now < held.until and held.replicas == seen.target.replicas:
            standing = replace(held.decision, reading=decision.reading)
            return Outcome(standing, seen.target, changed=False, tasks_in_progress=held.tasks_in_progress)
        memory.held = None
        outcome = await self._shrink(memory, seen)
        tasks, until = outcome.tasks_in_progress, now + ASK_PERIOD_SECONDS
        memory.held = ScaleDownRound(outcome.decision, outcome.target.replicas, tasks, until)
        return outcome

    async def _shrink(self, memory: Memory, seen: Observation) -> Outcome:
        target, now = seen.target, self._clock.monotonic()
        asked = await ask(self._cluster, await self._cluster.read_pods(target), seen.workqueue.metrics_port)
        answers = [one.tasks_in_progress for one in asked if one.tasks_in_progress is not None]
        tasks = sum(answers) if answers else None
        seen = _with_answers(seen, asked)
        memory.silence = silent_since(memory.silence, seen.situation.workers, now)
        decision = _decide(memory, seen, removable_once_marked(asked, target.replicas), now)
        if seen.workqueue.mode is not Mode.ACTIVE:
            await self._clear_marks(memory, seen)
            return Outcome(decision, target, decision.differs_from(memory.decision), tasks)
        meant: frozenset[str] = frozenset()
        if decision.replicas < target.replicas:
            departure = choose(asked, decision.replicas)
            meant = frozenset(pod.uid for pod in departure.going)
            await self._marker.mark(memory, target, departure)
            asked = await self._look_again(seen, asked, departure)
            seen = _with_answers(seen, asked)
            decision = _decide(memory, seen, removable(asked, target.replicas), now)
        if decision.replicas >= target.replicas:  # whoever works must not go first in a shrink of somebody else's
            await self._marker.unmark(memory, target, (one.pod for one in asked if not one.may_go))
            return Outcome(decision, target, changed=False, tasks_in_progress=tasks)
        scaled = await self._scale(memory, seen, decision, Shrink(asked, meant))
        return Outcome(decision, scaled, changed=True, tasks_in_progress=tasks)

    async def _look_again(
        self, seen: Observation, asked: Sequence[WorkerAnswer], departure: Departure
    ) -> list[WorkerAnswer]:
        """The pods and their marks read anew, with new answers of those that go: one may have got a task."""
        if departure.mark:
            await self._clock.sleep(SETTLE_SECONDS)
        going = {pod.uid for pod in departure.going}
        pods = await self._cluster.read_pods(seen.target)
        again = await ask(self._cluster, (pod for pod in pods if pod.uid in going), seen.workqueue.metrics_port)
        answers = {one.pod.uid: one.tasks_in_progress for one in (*asked, *again)}
        return [WorkerAnswer(pod, answers.get(pod.uid)) for pod in pods]

    async def _scale(
        self, memory: Memory, seen: Observation, decision: ScalingDecision, shrink: Shrink | None
    ) -> Target:
        replicas = decision.replicas
        before, until = memory.unanswered, self._clock.monotonic() + UNANSWERED_SECONDS
        memory.unanswered = UnconfirmedScale(replicas, until)  # noted before the call, as its answer may be lost
        try:
            with self._metrics.scale_request_seconds.time():
                scaled = await self._cluster.set_replicas(self._latest(seen.target), replicas)
        except (
            Conflict,
            NotFound,
            Forbidden,
            Rejected,
        ):  # it is not as we saw it, or not ours to change: nothing was done
            memory.unanswered = before
            raise
        except ClusterError:  # perhaps it was done
            self._watch(memory, seen, replace(seen.target, replicas=replicas), shrink)
            raise
        memory.asked_replicas, memory.unanswered = replicas, None
        memory.totals.scaled(seen.target.replicas, replicas, decision.reason, self._clock.wall())
        self._metrics.api_writes.labels("scale").inc()
        reading = decision.reading
        if isinstance(reading, Counts) and reading.asked_at is not None:
            self._metrics.scale_seconds.observe(max(0.0, self._clock.monotonic() - reading.asked_at))
        self._watch(memory, seen, scaled, shrink)
        self._store.see_target(scaled)
        return scaled

    def _latest(self, target: Target) -> Target:
        """The Deployment as last seen, if its size is still the one decided for.

        Asking the workers takes seconds, in which its status may change, and a scale to 0 is refused after any change.
        """
        known = self._store.target(target.key)
        return known if known and (known.uid, known.replicas) == (target.uid, target.replicas) else target

    def _watch(self, memory: Memory, seen: Observation, scaled: Target, shrink: Shrink | None) -> None:
        """Have it watched who goes by this scale, and end the watch over the one before."""
        key = seen.workqueue.key
        watch = self._watch_of(key, memory, scaled)
        if shrink is None:
            if watch:
                watch.grown(scaled.replicas)
            return
        if watch is None:
            watch = VictimWatch(self._cluster, self._clock, partial(self._tell, key, memory.totals))
            known = self._store.keys()
            self._watches = {name: watched for name, watched in self._watches.items() if name in known}
            self._watches[key] = _Watched(memory, scaled.uid, watch)
        watch.shrunk(scaled, seen.workqueue.metrics_port, shrink.asked, shrink.meant)

    def _watch_of(self, key: Key, memory: Memory, target: Target) -> VictimWatch | None:
        """The watch of this WorkQueue over this very Deployment; one over a former Deployment or WorkQueue ends."""
        watched = self._watches.get(key)
        if watched is None or (watched.memory is memory and watched.target_uid == target.uid):
            return watched.watch if watched else None
        watched.watch.stop()
        del self._watches[key]
        return None

    def _tell(self, workqueue: Key, totals: Totals, victim: Victim) -> None:
        totals.victims[victim.state] += 1
        if not victim.meant:
            log.warning("%s: %s went (%s) though another was meant to", workqueue, victim.name, victim.state)
        elif victim.state is State.BUSY:
            log.warning("%s: %s got a task as it was told to go; it finishes that first", workqueue, victim.name)

    async def _clear_marks(self, memory: Memory, seen: Observation) -> None:
        """Remove left-over marks, unless pods of an earlier scale-down still terminate: marks may yet choose them."""
        watch = self._watch_of(seen.workqueue.key, memory, seen.target)
        if watch is None or watch.is_over:
            await self._marker.clear(memory, seen.target)


def _with_answers(seen: Observation, asked: Sequence[WorkerAnswer]) -> Observation:
    """The situation with how many workers are at work, and how many gave no answer."""
    there = [one for one in asked if one.pod.active and one.pod.running]
    workers = replace(
        seen.situation.workers,
        busy=sum(bool(one.tasks_in_progress) for one in there),
        silent=sum(one.tasks_in_progress is None for one in there),
    )
    return replace(seen, situation=replace(seen.situation, workers=workers))


def _decide(memory: Memory, seen: Observation, removable_now: int, now: float) -> ScalingDecision:
    """The decision with the workers' answers."""
    situation = replace(seen.situation, workers=replace(seen.situation.workers, removable=removable_now))
    return decide(seen.workqueue.scaling, situation, memory.history, now)
