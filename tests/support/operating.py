"""The operator's loops with real readers and a fake cluster: a real broker's troubles, seen in the status."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry
from workqueue_broker.address import BrokerAddress
from workqueue_operator.clock import SystemClock
from workqueue_operator.loops.scheduler import Readers
from workqueue_operator.metrics import Metrics
from workqueue_operator.rabbitmq.management_api import ManagementApi
from workqueue_operator.rabbitmq.queue_reader import AmqpQueueReader, QueueReader
from workqueue_operator.resource import Key
from workqueue_operator.store import Store
from workqueue_operator.wiring import Operator

from tests.support.fakes import FakeCluster

T = TypeVar("T")

NAME = Key("team", "jobs")
DEPLOYMENT = Key("team", "jobs-worker")
SECRET = Key("team", "rabbitmq")
NEIGHBOUR = Key("team", "neighbour")
NEIGHBOURS_DEPLOYMENT = Key("team", "neighbour-worker")
NEIGHBOURS_SECRET = Key("team", "rabbitmq-of-the-neighbour")


class JumpingClock(SystemClock):
    """The machine's time, and what a test adds to it: for what comes only once a minute."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@dataclass
class Operating:
    """An operator that runs, and what its user sees."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    store: Store = field(default_factory=Store)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    clock: JumpingClock = field(default_factory=JumpingClock)

    def add(self, secret: dict[str, str], replicas: int = 0, **spec: Any) -> None:
        self.cluster.secrets[SECRET] = secret
        self.store.see_target(self.cluster.add_deployment(DEPLOYMENT, replicas))
        self.change(**spec)

    def change(self, **spec: Any) -> None:
        """The WorkQueue as it is from now on."""
        self._see(NAME, SECRET, DEPLOYMENT, spec)

    def change_secret(self, secret: dict[str, str]) -> None:
        """The WorkQueue names another Secret, as after an edit."""
        other = Key("team", f"rabbitmq-{len(self.cluster.secrets)}")
        self.cluster.secrets[other] = secret
        self._see(NAME, other, DEPLOYMENT, {})

    def add_neighbour(self, secret: dict[str, str]) -> None:
        """A second WorkQueue on a Secret of its own: `neighbour`, which has no workers yet. Only let it grow."""
        self.cluster.secrets[NEIGHBOURS_SECRET] = secret
        self.store.see_target(self.cluster.add_deployment(NEIGHBOURS_DEPLOYMENT, 0))
        self._see(NEIGHBOUR, NEIGHBOURS_SECRET, NEIGHBOURS_DEPLOYMENT, {})

    def _see(self, key: Key, secret: Key, deployment: Key, spec: dict[str, Any]) -> None:
        known = self.cluster.workqueues.get(key)
        generation = known["metadata"]["generation"] + 1 if known else 1
        body = {
            "metadata": {"namespace": "team", "name": key.name, "uid": key.name, "generation": generation},
            "spec": {
                "broker": {"secretName": secret.name},
                "scaleTargetRef": {"name": deployment.name},
                "scaling": {"scaleDown": {"stabilizationWindowSeconds": 0}},
                **spec,
            },
            "status": known.get("status", {}) if known else {},
        }
        self.cluster.workqueues[key] = body
        self.store.see_workqueue(body)

    @property
    def replicas(self) -> int:
        return self.cluster.targets[DEPLOYMENT].replicas

    @property
    def neighbours_replicas(self) -> int:
        return self.cluster.targets[NEIGHBOURS_DEPLOYMENT].replicas

    @property
    def status(self) -> dict[str, Any]:
        return self.status_of(NAME.name)

    def status_of(self, workqueue: str) -> dict[str, Any]:
        return dict(self.cluster.workqueues[Key("team", workqueue)].get("status", {}))

    def condition(self, name: str, workqueue: str = NAME.name) -> dict[str, Any]:
        return next((one for one in self.status_of(workqueue).get("conditions", []) if one["type"] == name), {})

    def observed(self, workqueue: str = NAME.name) -> bool:
        return self.condition("QueueObserved", workqueue).get("status") == "True"

    def number(self, name: str, **labels: str) -> float | None:
        """A sample of the WorkQueue's own metrics; None: there is none."""
        found = {"namespace": NAME.namespace, "workqueue": NAME.name, **labels}
        return self.registry.get_sample_value(f"workqueue_operator_{name}", found)

    def broker_errors(self, kind: str) -> float:
        """How many of the kind were counted, over all brokers."""
        name = "workqueue_operator_broker_errors_total"
        samples = (sample for family in self.registry.collect() for sample in family.samples if sample.name == name)
        return sum(sample.value for sample in samples if sample.labels["kind"] == kind)

    def decision(self) -> str:
        """The last decision's message."""
        return str(self.status.get("lastDecision", {}).get("message", ""))

    def unknown_because(self) -> str | None:
        """The reason of QueueObserved=False."""
        condition = self.condition("QueueObserved")
        return condition["reason"] if condition.get("status") == "False" else None

    async def until(self, fact: Callable[[], T], what: str, seconds: float = 30) -> T:
        """Wait for a fact about what is seen."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not (seen := fact()):
            assert asyncio.get_running_loop().time() < deadline, (
                f"not within {seconds} s: {what}; status: {self.status}"
            )
            await asyncio.sleep(0.02)
        return seen


def open_real_queues(address: BrokerAddress) -> QueueReader:
    """With the broker that the address names."""
    return AmqpQueueReader(address, "test")


@asynccontextmanager
async def operating(
    open_queues: Callable[[BrokerAddress], QueueReader] = open_real_queues,
) -> AsyncIterator[Operating]:
    """Run the loops for as long as the block lasts."""
    made = Operating()
    metrics = Metrics(made.registry)
    readers = Readers(open_queues, ManagementApi)
    operator = Operator.of(made.store, made.cluster, readers, metrics, made.clock)
    running = asyncio.create_task(operator.run())
    try:
        yield made
    finally:
        if running.done():
            running.result()  # a loop that failed is the cause of whatever else was seen
        running.cancel()
        await asyncio.wait([running])
        await operator.reconciler.wait()


def secret_of(address: BrokerAddress, **more: str) -> dict[str, str]:
    """The Secret of an address."""
    host, port = address.hosts[0]
    return {
        "host": host,
        "port": str(port),
        "username": address.username,
        "password": address.password,
        "vhost": address.virtual_host,
        **more,
    }
