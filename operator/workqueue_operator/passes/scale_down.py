"""Decides a scale-down by the workers' answers, so that it takes only workers that were just seen idle.

Order: ask every worker, mark the pods that are meant to go, read the marks back and ask those pods again, decide. Then
the applier scales. What remains is the time from the last answer to the worker's SIGTERM; its drain finishes the task.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.port import Cluster
from workqueue_operator.memory import Memory, ScaleDownRound
from workqueue_operator.passes.asking import ask
from workqueue_operator.passes.gather import Observation
from workqueue_operator.passes.marks import Marker
from workqueue_operator.resource import Mode
from workqueue_operator.scaling.decision import ScalingDecision, decide
from workqueue_operator.scaling.deletion_order import Departure, WorkerAnswer, choose, removable, removable_once_marked
from workqueue_operator.scaling.worker_health import silent_since

#: Seconds between two rounds of asking the workers while a scale-down waits for them.
ASK_PERIOD_SECONDS = 1.0
#: Seconds from the marks to the second look. The ReplicaSet's controller chooses by what its watch has brought it, and
#: that is behind the API server (kubernetes#126138); the second answers come after, so that they are not older for it.
SETTLE_SECONDS = 0.1


@dataclass(frozen=True)
class LastLook:
    """The workers at the last look before a scale-down: the first pods to be deleted are all idle."""

    asked: Sequence[WorkerAnswer]
    #: UIDs of the pods that are meant to go.
    meant: frozenset[str]


@dataclass(frozen=True)
class ScaleDown:
    """What the workers' answers allow."""

    decision: ScalingDecision
    #: Over all workers that answered; None: none did.
    tasks_in_progress: int | None
    #: None: the Deployment keeps its size.
    last_look: LastLook | None = None


class ScaleDowns:
    """Asks the workers of Deployments, and marks the pods that are meant to go."""

    def __init__(self, cluster: Cluster, marker: Marker, clock: Clock) -> None:
        self._cluster = cluster
        self._marker = marker
        self._clock = clock

    def standing(self, memory: Memory, seen: Observation, decision: ScalingDecision) -> ScaleDown | None:
        """What the last answers allowed, while they stand; None: it is time to ask again."""
        held = memory.answers.round
        if held is None or self._clock.monotonic() >= held.until or held.replicas != seen.target.replicas:
            return None
        return ScaleDown(replace(held.decision, reading=decision.reading), held.tasks_in_progress)

    async def ask(self, memory: Memory, seen: Observation) -> ScaleDown:
        """Ask the workers and decide; in mode Active mark the pods that are meant to go. Raises a ClusterError."""
        memory.answers.round = None
        until = self._clock.monotonic() + ASK_PERIOD_SECONDS
        found = await self._ask(memory, seen)
        replicas = found.decision.replicas if found.last_look else seen.target.replicas
        memory.answers.round = ScaleDownRound(found.decision, replicas, found.tasks_in_progress, until)
        return found

    async def _ask(self, memory: Memory, seen: Observation) -> ScaleDown:
        target, now = seen.target, self._clock.monotonic()
        asked = await ask(self._cluster, await self._cluster.read_pods(target), seen.workqueue.metrics_port)
        answers = [one.tasks_in_progress for one in asked if one.tasks_in_progress is not None]
        tasks = sum(answers) if answers else None
        seen = _with_answers(seen, asked)
        memory.answers.silence = silent_since(memory.answers.silence, seen.situation.workers, now)
        decision = _decide(memory, seen, removable_once_marked(asked, target.replicas), now)
        if seen.workqueue.mode is not Mode.ACTIVE:
            return ScaleDown(decision, tasks)
        meant: frozenset[str] = frozenset()
        if decision.replicas < target.replicas:
            departure = choose(asked, decision.replicas)
            meant = frozenset(pod.uid for pod in departure.going)
            await self._marker.mark(memory.marks, target, departure)
            asked = await self._look_again(seen, asked, departure)
            decision = _decide(memory, _with_answers(seen, asked), removable(asked, target.replicas), now)
        if decision.replicas < target.replicas:
            return ScaleDown(decision, tasks, LastLook(asked, meant))
        # A worker at work must not be the first to go in a scale-down that another program makes.
        await self._marker.unmark(memory.marks, target, (one.pod for one in asked if not one.may_go))
        return ScaleDown(decision, tasks)

    async def _look_again(
        self, seen: Observation, asked: Sequence[WorkerAnswer], departure: Departure
    ) -> list[WorkerAnswer]:
        """Read the pods and their marks again, and ask the workers that are to go again: one may have got a task."""
        if departure.mark:
            await self._clock.sleep(SETTLE_SECONDS)
        going = {pod.uid for pod in departure.going}
        pods = await self._cluster.read_pods(seen.target)
        again = await ask(self._cluster, (pod for pod in pods if pod.uid in going), seen.workqueue.metrics_port)
        answers = {one.pod.uid: one.tasks_in_progress for one in (*asked, *again)}
        return [WorkerAnswer(pod, answers.get(pod.uid)) for pod in pods]


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
