"""Wires the operator over a cluster: its passes, its loops and its numbers. The one place that does.

The assembly gives it the machine's clock and Kubernetes; tests give it a clock of their own and a fake cluster.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.port import Cluster
from workqueue_operator.loops.border import Loops, watch_name
from workqueue_operator.loops.scheduler import Readers, Scheduler
from workqueue_operator.metrics import HeartbeatCollector, Metrics, WatchCollector
from workqueue_operator.passes.reconcile import Reconciler
from workqueue_operator.store import Store
from workqueue_operator.workqueue_metrics import WorkQueueCollector


@dataclass(frozen=True)
class Operator:
    """An operator that is wired; `run` runs it."""

    reconciler: Reconciler
    scheduler: Scheduler

    @classmethod
    def of(
        cls,
        store: Store,
        cluster: Cluster,
        readers: Readers,
        metrics: Metrics,
        clock: Clock,
        namespaces: Iterable[str] = ("",),
    ) -> "Operator":
        """The operator for the WorkQueues of the store; `namespaces` are those that it watches ("": all of them)."""
        reconciler = Reconciler.of(store, cluster, metrics, clock)
        scheduler = Scheduler(store, cluster, reconciler, readers, metrics, clock)
        loops = scheduler.loops
        metrics.registry.register(WorkQueueCollector(store, clock.monotonic))
        metrics.registry.register(HeartbeatCollector(loops.ages))
        metrics.registry.register(WatchCollector(namespaces, lambda name: loops.failures(watch_name(name))))
        return cls(reconciler, scheduler)

    @property
    def loops(self) -> Loops:
        """The border that its loops run in, for further loops and for the probes."""
        return self.scheduler.loops

    async def run(self) -> None:
        """Run all loops until cancelled."""
        await self.scheduler.run()
