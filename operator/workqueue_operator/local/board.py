"""What a person sees of a `local` that runs: a row for each queue. Prints nothing itself."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.local.local_cluster import LocalCluster
from workqueue_operator.cluster.port import Target
from workqueue_operator.resource import Key
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.store import Store
from workqueue_operator.tracked import Tracked


@dataclass(frozen=True)
class Row:
    """One WorkQueue. None: not known."""

    key: Key
    #: messages_ready.
    waiting: int | None
    #: Over all workers that answered.
    in_progress: int | None
    #: Workers that run or start, those of them that are Ready, and those that still finish their tasks.
    workers: int
    ready: int
    ending: int
    desired: int | None
    #: Seconds that the first message has waited.
    oldest_seconds: float | None
    #: Of the last decision; "" before the first one.
    reason: str


class Board:
    """Looks at an operator's store and its local cluster."""

    def __init__(self, store: Store, cluster: LocalCluster, clock: Clock) -> None:
        self._store = store
        self._cluster = cluster
        self._clock = clock

    async def rows(self) -> Sequence[Row]:
        """A row for each WorkQueue, in the order of their keys. Asks the workers, for a second at most."""
        return await asyncio.gather(
            *(self._row(tracked) for tracked in sorted(self._store, key=lambda it: str(it.key)))
        )

    async def _row(self, tracked: Tracked) -> Row:
        spec, decision = tracked.workqueue, tracked.memory.reported.decision
        target = self._store.target(spec.target) if spec else None
        last = tracked.last.reading
        reading = self._store.readable(tracked, last) if last else None
        waiting = reading.messages_ready if isinstance(reading, Counts) else None
        return Row(
            key=tracked.key,
            waiting=waiting,
            in_progress=await self._in_progress(target),
            workers=target.replicas if target else 0,
            ready=target.ready if target else 0,
            ending=sum(pod.terminating for pod in self._cluster.pods() if target and pod.key == target.key),
            desired=decision.replicas if decision else None,
            oldest_seconds=None if waiting is None else tracked.oldest.age(self._clock.monotonic(), waiting),
            reason=decision.reason if decision else "",
        )

    async def _in_progress(self, target: Target | None) -> int | None:
        if target is None:
            return None
        pods = await self._cluster.read_pods(target)
        answers = await asyncio.gather(*(self._cluster.ask_tasks_in_progress(pod, 0) for pod in pods if pod.running))
        known = [answer for answer in answers if answer is not None]
        return sum(known) if known or not pods else None
