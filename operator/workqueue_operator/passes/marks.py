"""Marks the pods that are meant to go with a low deletion cost, and removes marks again. Called by the applier.

A mark that is left would make the pod the first to go when another program scales down, also while it works.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.port import Cluster, ClusterError, NotFound, Pod, Target
from workqueue_operator.memory import Marks
from workqueue_operator.metrics import Metrics
from workqueue_operator.scaling.deletion_order import GOING_COST, Departure

#: Seconds before marks that could not be removed are tried again; they matter only when another program scales down.
UNMARK_RETRY_SECONDS = 5.0

log = logging.getLogger(__name__)


class Marker:
    """Writes deletion costs; `marks` knows which pods bear a mark of ours."""

    def __init__(self, cluster: Cluster, metrics: Metrics, clock: Clock) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._clock = clock

    async def mark(self, marks: Marks, target: Target, departure: Departure) -> None:
        """Mark the pods that go and unmark the others, as far as they still exist; raises a ClusterError."""
        before = {pod.uid: pod.deletion_cost for pod in departure.mark}
        marks.costs.update(before)  # known before they are written: an answer may be lost
        costs = [(pod, GOING_COST) for pod in departure.mark]
        costs += [(pod, marks.costs.get(pod.uid, 0)) for pod in departure.unmark]
        await self._write(target, costs)
        for pod in departure.unmark:
            marks.costs.pop(pod.uid, None)

    async def unmark(self, marks: Marks, target: Target, pods: Iterable[Pod]) -> None:
        """Remove our marks from these pods; raises a ClusterError."""
        marked = tuple(pod for pod in pods if pod.active and pod.deletion_cost == GOING_COST)
        await self.mark(marks, target, Departure(unmark=marked))

    async def clear(self, marks: Marks, target: Target) -> None:
        """Remove what is left of our marks, once no pod is meant to go; what fails is tried again later."""
        now = self._clock.monotonic()
        if not marks.costs or now < marks.retry_at:
            return
        try:
            left = [pod for pod in await self._cluster.read_pods(target) if pod.uid in marks.costs]
            await self.unmark(marks, target, left)
        except ClusterError as error:
            log.warning("%s: marks of pods that stay cannot be removed: %s", target.key, error)
            marks.retry_at = now + UNMARK_RETRY_SECONDS
        else:
            marks.costs.clear()

    async def _write(self, target: Target, costs: Sequence[tuple[Pod, int]]) -> None:
        """All of them, before the first error is raised."""
        answers = await asyncio.gather(*(self._set(target, pod, cost) for pod, cost in costs), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def _set(self, target: Target, pod: Pod, cost: int) -> None:
        try:
            await self._cluster.set_deletion_cost(target.key.namespace, pod.name, cost or None)
        except NotFound:  # it has gone by itself
            return
        self._metrics.api_writes.labels("mark").inc()
