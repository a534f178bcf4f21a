"""An operator on fakes whose passes are made one by one, with a hand on its clock."""

from dataclasses import dataclass, field, replace
from typing import Any

from prometheus_client import CollectorRegistry
from workqueue_operator import wiring
from workqueue_operator.loops.scheduler import Readers
from workqueue_operator.metrics import Metrics
from workqueue_operator.rabbitmq.management_api import ManagementApi
from workqueue_operator.resource import Key
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.scaling.rates import Sample
from workqueue_operator.store import Store, Tracked

from tests.support.fakes import FakeCluster, FakeQueueReader, ManualClock

WORKQUEUE = Key("team", "thumbnails")
DEPLOYMENT = Key("team", "thumbnails-worker")


def body(name: str = WORKQUEUE.name, created: str = "2026-01-01T00:00:00Z", **spec: Any) -> dict[str, Any]:
    """A WorkQueue as the API server has it; a window of 60 s unless `scaling` says otherwise."""
    return {
        "metadata": {
            "namespace": WORKQUEUE.namespace,
            "name": name,
            "uid": f"uid-{name}",
            "generation": 1,
            "creationTimestamp": created,
        },
        "spec": {
            "broker": {"secretName": "rabbitmq"},
            "scaleTargetRef": {"name": DEPLOYMENT.name},
            "scaling": {"scaleDown": {"stabilizationWindowSeconds": 60}},
            **spec,
        },
    }


@dataclass
class Operator:
    """The operator, its cluster with one Deployment, and what a user sees of both."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    clock: ManualClock = field(default_factory=ManualClock)
    store: Store = field(default_factory=Store)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    #: The Deployment's size at the start; None: there is none yet.
    replicas_at_start: int | None = 0

    def __post_init__(self) -> None:
        metrics, readers = Metrics(self.registry), Readers(lambda _: FakeQueueReader(), ManagementApi)
        operator = wiring.Operator.of(self.store, self.cluster, readers, metrics, self.clock, ("team",))
        self.reconciler, self.loops = operator.reconciler, operator.loops
        if self.replicas_at_start is not None:
            self.cluster.add_deployment(DEPLOYMENT, self.replicas_at_start)

    def add(self, made: dict[str, Any] | None = None, **spec: Any) -> Tracked:
        """Create a WorkQueue: `made`, or one with this spec."""
        made = made or body(**spec)
        key = Key(made["metadata"]["namespace"], made["metadata"]["name"])
        self.cluster.workqueues[key] = made
        self.store.see_workqueue(made)
        return next(tracked for tracked in self.store if tracked.key == key)

    async def after(self, seconds: float, tracked: Tracked, reading: Counts | Unknown, period: float = 1.0) -> None:
        """Let time pass with this reading, a pass every `period` seconds."""
        for _ in range(round(seconds / period)):
            self.clock.advance(period)
            await self.one_pass(tracked, reading)

    async def one_pass(self, tracked: Tracked, reading: Counts | Unknown) -> None:
        """One pass now, as the scheduler starts it."""
        tracked.memory.reading, tracked.memory.read_at = reading, self.clock.now
        await self.reconciler.reconcile(tracked, reading)

    def measured(self, tracked: Tracked, published: int, acked: int, redelivered: int, in_progress: int) -> None:
        """Five seconds later the management API tells these totals."""
        self.clock.advance(5.0)
        sample = Sample(self.clock.now, published, acked, redelivered, in_progress)
        tracked.estimate = tracked.estimate.updated(sample)

    def ready(self, count: int) -> None:
        """So many workers are Ready, says the Deployment's status."""
        old = self.cluster.targets[DEPLOYMENT]
        self.cluster.targets[DEPLOYMENT] = replace(old, ready=count, resource_version=old.resource_version + 1)
        self.store.see_target(self.cluster.targets[DEPLOYMENT])

    @property
    def replicas(self) -> int:
        return self.cluster.targets[DEPLOYMENT].replicas

    def status(self, key: Key = WORKQUEUE) -> dict[str, Any]:
        return dict(self.cluster.workqueues[key]["status"])

    def condition(self, name: str, key: Key = WORKQUEUE) -> dict[str, Any]:
        return next(one for one in self.status(key)["conditions"] if one["type"] == name)

    def writes(self, verb: str) -> list[Any]:
        return [value for written, value in self.cluster.writes if written == verb]

    @property
    def told(self) -> list[str]:
        """The reasons of all Events, oldest first."""
        return [str(one.reason) for one in self.cluster.events]

    def number(self, name: str, **labels: str) -> float | None:
        """A sample of `/metrics`; a gauge of the WorkQueue without labels given."""
        found = labels or {"namespace": WORKQUEUE.namespace, "workqueue": WORKQUEUE.name}
        return self.registry.get_sample_value(f"workqueue_operator_{name}", found)
