"""An operator on fakes whose passes are made one by one, with a hand on its clock."""

from dataclasses import dataclass, field, replace
from typing import Any

from prometheus_client import CollectorRegistry
from workqueue_operator import wiring
from workqueue_operator.loops.scheduler import Readers
from workqueue_operator.metrics import Metrics
from workqueue_operator.passes.victim_watch import WATCH_SECONDS
from workqueue_operator.rabbitmq.management_api import ManagementApi
from workqueue_operator.resource import Key
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.deletion_order import GOING_COST
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.scaling.rates import Sample
from workqueue_operator.store import Store
from workqueue_operator.tracked import Tracked

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
    #: Seconds between two passes.
    period: float = 1.0

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

    def change(self, tracked: Tracked, **spec: Any) -> None:
        """Give the WorkQueue another spec, of the next generation."""
        made = body(tracked.key.name, **spec)
        made["metadata"]["generation"] = tracked.generation + 1
        self.store.see_workqueue(made)

    async def after(self, seconds: float, tracked: Tracked, reading: Counts | Unknown) -> None:
        """Let so many seconds pass with this reading, with a pass at the end of each period."""
        for _ in range(round(seconds / self.period)):
            await self.next_pass(tracked, reading)

    async def next_pass(self, tracked: Tracked, reading: Counts | Unknown) -> None:
        """One pass, a period from now."""
        self.clock.advance(self.period)
        await self.one_pass(tracked, reading)

    async def one_pass(self, tracked: Tracked, reading: Counts | Unknown) -> None:
        """One pass now, as the scheduler starts it."""
        tracked.last.reading, tracked.last.read_at = reading, self.clock.now
        await self.reconciler.reconcile(tracked, reading)

    async def watched(self, **spec: Any) -> Tracked:
        """Create a WorkQueue, and watch its empty queue for longer than the stabilization window."""
        tracked = self.add(**spec)
        await self.after(61, tracked, Counts(0, 0))
        return tracked

    async def watches_ended(self) -> None:
        """Wait until the pods of each scale-down are gone and counted."""
        await self.reconciler.wait()

    async def until_counted(self) -> None:
        """Let the longest watch over a scale-down run out."""
        self.clock.advance(WATCH_SECONDS)
        await self.watches_ended()

    def measured(self, tracked: Tracked, published: int, acked: int, redelivered: int, in_progress: int) -> None:
        """Five seconds later the management API reports these totals."""
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
    def event_reasons(self) -> list[str]:
        """The reasons of all Events, oldest first."""
        return [str(one.reason) for one in self.cluster.events]

    def number(self, name: str, **labels: str) -> float | None:
        """A sample of `/metrics`; a gauge of the WorkQueue without labels given."""
        found = labels or {"namespace": WORKQUEUE.namespace, "workqueue": WORKQUEUE.name}
        return self.registry.get_sample_value(f"workqueue_operator_{name}", found)

    def total(self, name: str, **labels: str) -> float:
        """A counter of `/metrics`: 0 before its first count."""
        return self.number(name, **labels) or 0.0

    def victims(self) -> dict[str, float]:
        """The pods that scale-downs took from the WorkQueue so far, by what each did when it went."""
        workqueue = {"namespace": WORKQUEUE.namespace, "workqueue": WORKQUEUE.name}
        states = ("idle", "busy", "unknown")
        return {state: self.total("scale_down_victims_total", state=state, **workqueue) for state in states}

    def marked(self) -> set[str]:
        """The pods that the operator has marked to be deleted first."""
        return {pod.name for pod in self.cluster.pods.values() if pod.deletion_cost == GOING_COST}


async def slow_scale_down(operator: Operator, *, silent: int) -> Tracked:
    """Scale ten workers down as far as they allow: four are busy, `silent` give no answer; no pod is deleted yet."""
    operator.store.see_target(operator.cluster.add_deployment(DEPLOYMENT, 10))
    operator.cluster.replicasets_lag = True
    names = sorted(operator.cluster.pods, key=lambda name: operator.cluster.pods[name].created)
    operator.cluster.tasks.update(dict.fromkeys(names[:4], 1))
    for name in names[4 : 4 + silent]:
        del operator.cluster.tasks[name]
    tracked = operator.add(scaling={"minReplicas": 4, "scaleDown": {"stabilizationWindowSeconds": 0}})
    while operator.replicas == 10:
        await operator.next_pass(tracked, Counts(0, 10))
    assert operator.replicas == 4 + silent
    return tracked
