"""Makes the Deployment what the decision says. A shrink takes only workers that were just seen idle.

Order of a shrink: ask every worker, mark the ones to go, read the marks back and ask those again, then scale, then
count who went. What remains is the time from the last answer to the worker's SIGTERM; its drain finishes the task.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workqueue_operator.clock import Clock
from workqueue_operator.cluster import Cluster, ClusterError, Conflict, NotFound, Pod, Target
from workqueue_operator.gather import Seen
from workqueue_operator.metrics import Metrics
from workqueue_operator.resource import Mode
from workqueue_operator.scaling import ScalingDecision, decide
from workqueue_operator.shrinking import GOING_COST, Asked, choose, removable
from workqueue_operator.store import Memory, Store

#: Seconds between two rounds of asking the workers while a shrink waits for them.
ASK_PERIOD_SECONDS = 1.0
#: Seconds to watch who goes after a shrink, and between two looks.
VICTIMS_SECONDS = 5.0
VICTIMS_PERIOD_SECONDS = 0.25

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of a decision."""

    decision: ScalingDecision
    target: Target
    #: The Deployment was changed, or would have been in DryRun.
    changed: bool
    #: Over all workers that answered; None: not asked in this pass.
    tasks_in_progress: int | None = None


class Applier:
    """Scales Deployments."""

    def __init__(self, store: Store, cluster: Cluster, metrics: Metrics, clock: Clock) -> None:
        self._store = store
        self._cluster = cluster
        self._metrics = metrics
        self._clock = clock
        self._background: set[asyncio.Task[None]] = set()

    async def apply(self, memory: Memory, seen: Seen, decision: ScalingDecision) -> Outcome:
        """Do what the decision says, as far as the mode and the workers allow; raises a ClusterError."""
        now = self._clock.monotonic()
        if decision.ask_workers:
            if now < memory.ask_again_at and memory.decision:  # what the workers last answered still stands
                held = replace(memory.decision, replicas=seen.target.replicas)
                return Outcome(held, seen.target, changed=False)
            memory.ask_again_at = now + ASK_PERIOD_SECONDS
            return await self._shrink(memory, seen)
        if decision.replicas == seen.target.replicas:
            return Outcome(decision, seen.target, changed=False)
        if seen.workqueue.mode is not Mode.ACTIVE:
            return Outcome(decision, seen.target, changed=decision.differs_from(memory.decision))
        return Outcome(decision, await self._scale(memory, seen.target, decision.replicas), changed=True)

    async def wait(self) -> None:
        """Until the counting that goes on beside the passes is done."""
        await asyncio.gather(*self._background)

    async def _shrink(self, memory: Memory, seen: Seen) -> Outcome:
        asked = await self._ask(await self._cluster.read_pods(seen.target), seen.workqueue.metrics_port)
        workers = replace(seen.situation.workers, removable=removable(asked, seen.target.replicas))
        situation = replace(seen.situation, workers=workers)
        decision = decide(seen.workqueue.scaling, situation, memory.history, self._clock.monotonic())
        tasks = sum(one.tasks_in_progress or 0 for one in asked)
        if seen.workqueue.mode is not Mode.ACTIVE:
            return Outcome(decision, seen.target, decision.differs_from(memory.decision), tasks)
        if decision.replicas >= seen.target.replicas or not await self._mark(seen, asked, decision.replicas):
            held = replace(decision, replicas=seen.target.replicas)
            return Outcome(held, seen.target, changed=False, tasks_in_progress=tasks)
        scaled = await self._scale(memory, seen.target, decision.replicas)
        self._in_background(self._count_victims(seen, asked, decision.replicas))
        return Outcome(decision, scaled, changed=True, tasks_in_progress=tasks)

    async def _scale(self, memory: Memory, target: Target, replicas: int) -> Target:
        try:
            scaled = await self._cluster.set_replicas(target, replicas)
        except (Conflict, NotFound):  # it is not as we saw it: look again before the next try
            self._store.forget_target(target.key)
            raise
        self._metrics.api_writes.labels("scale").inc()
        if memory.read_at is not None:
            self._metrics.scale_seconds.observe(max(0.0, self._clock.monotonic() - memory.read_at))
        memory.asked_replicas = replicas
        self._store.see_target(scaled)
        return scaled

    async def _ask(self, pods: Sequence[Pod], port: int) -> list[Asked]:
        answers = await asyncio.gather(*(self._ask_one(pod, port) for pod in pods))
        return [Asked(pod, answer) for pod, answer in zip(pods, answers, strict=True)]

    async def _ask_one(self, pod: Pod, port: int) -> int | None:
        return await self._cluster.ask_tasks_in_progress(pod, port) if pod.running else None

    async def _mark(self, seen: Seen, asked: Sequence[Asked], replicas: int) -> bool:
        """Mark the workers to go; False when one of them got a task or lost its mark meanwhile."""
        if replicas == 0:  # all go, there is nothing to choose
            return True
        departure = choose(asked, replicas)
        namespace = seen.target.key.namespace
        marks = [(pod, GOING_COST) for pod in departure.going if pod.deletion_cost != GOING_COST]
        unmarks = [(pod, None) for pod in departure.unmark]
        await asyncio.gather(
            *(self._cluster.set_deletion_cost(namespace, pod.name, cost) for pod, cost in (*marks, *unmarks))
        )
        self._metrics.api_writes.labels("mark").inc(len(marks) + len(unmarks))
        names = {pod.name for pod in departure.going}
        marked = [pod for pod in await self._cluster.read_pods(seen.target) if pod.name in names]
        again = await self._ask(marked, seen.workqueue.metrics_port)
        return all(one.is_idle and one.pod.deletion_cost == GOING_COST for one in again)

    async def _count_victims(self, seen: Seen, asked: Sequence[Asked], replicas: int) -> None:
        """Watch who goes and what they do as they go; a worker answers until its drain is over."""
        idle = {one.pod.name: one.is_idle for one in asked if not one.pod.terminating}
        awaited = len(idle) - replicas
        deadline = self._clock.monotonic() + VICTIMS_SECONDS
        gone: dict[str, bool] = {}
        while len(gone) < awaited and self._clock.monotonic() < deadline:
            try:
                pods = {pod.name: pod for pod in await self._cluster.read_pods(seen.target)}
            except ClusterError as error:
                log.warning("%s: cannot see which workers went: %s", seen.workqueue.key, error)
                return
            for name in idle.keys() - gone.keys():
                pod = pods.get(name)
                if pod is None or pod.terminating:
                    gone[name] = await self._was_idle(pod, idle[name], seen.workqueue.metrics_port)
            await asyncio.sleep(VICTIMS_PERIOD_SECONDS)
        for was_idle in gone.values():
            self._metrics.victims.labels("idle" if was_idle else "busy").inc()

    async def _was_idle(self, pod: Pod | None, seen_idle: bool, port: int) -> bool:
        """What a worker that goes is doing: its own answer counts for more than the one before the shrink."""
        tasks = await self._ask_one(pod, port) if pod else None
        return seen_idle if tasks is None else tasks == 0

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
