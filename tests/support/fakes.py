"""The fakes: a cluster and a broker in memory. The contract tests hold them to what the real ones do."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workqueue_broker.declaration import QueueCounts
from workqueue_broker.errors import BrokerError, QueueMissing
from workqueue_operator.cluster import ClusterError, Conflict, NotFound, Notice, Pod, Target
from workqueue_operator.queue_reader import Answer, QueueReading
from workqueue_operator.resource import Declare, Key, QueueSpec


@dataclass
class ManualClock:
    """A clock that goes when it is told to."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class FakeCluster:
    """The Cluster port in memory. Pods follow the replicas at once, as a ReplicaSet would make and delete them."""

    secrets: dict[Key, dict[str, str]] = field(default_factory=dict)
    targets: dict[Key, Target] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    #: Tasks in progress by pod name; a name without an entry does not answer.
    tasks: dict[str, int] = field(default_factory=dict)
    workqueues: dict[Key, dict[str, Any]] = field(default_factory=dict)
    #: HorizontalPodAutoscalers by the Deployment that they scale.
    autoscalers: dict[Key, str] = field(default_factory=dict)
    events: list[Notice] = field(default_factory=list)
    #: Every write, in order: ("scale", 5), ("mark", "w-1"), …
    writes: list[tuple[str, Any]] = field(default_factory=list)
    #: Raised by the next calls, one each.
    failures: list[ClusterError] = field(default_factory=list)

    def add_deployment(self, key: Key, replicas: int) -> Target:
        self.targets[key] = Target(key, f"uid-{key}", 0, 0, False, {"app": key.name}, 1)
        self._follow(self._change(key, replicas))
        return self.targets[key]

    async def list_workqueues(self) -> Sequence[Mapping[str, Any]]:
        self._fail_if_told()
        return list(self.workqueues.values())

    async def read_secret(self, key: Key) -> Mapping[str, str]:
        self._fail_if_told()
        if key not in self.secrets:
            raise NotFound(f"secrets {key.name} not found")
        return self.secrets[key]

    async def read_target(self, key: Key) -> Target:
        self._fail_if_told()
        if key not in self.targets:
            raise NotFound(f"deployments {key.name} not found")
        return self.targets[key]

    async def read_pods(self, target: Target) -> Sequence[Pod]:
        self._fail_if_told()
        return list(self.pods.values())

    async def find_autoscaler(self, target: Key) -> str | None:
        self._fail_if_told()
        return self.autoscalers.get(target)

    async def set_deletion_cost(self, namespace: str, pod: str, cost: int | None) -> None:
        self._fail_if_told()
        if pod not in self.pods:
            raise NotFound(f"pods {pod} not found")
        self.writes.append(("mark" if cost else "unmark", pod))
        self.pods[pod] = replace(self.pods[pod], deletion_cost=cost or 0)

    async def set_replicas(self, target: Target, replicas: int) -> Target:
        self._fail_if_told()
        if target.key not in self.targets:
            raise NotFound(f"deployments {target.key.name} not found")
        if self.targets[target.key].replicas != target.replicas:
            raise Conflict("the replicas are not as they were seen")
        self.writes.append(("scale", replicas))
        self._follow(self._change(target.key, replicas))
        return self.targets[target.key]

    async def write_status(self, key: Key, status: Mapping[str, Any]) -> None:
        self._fail_if_told()
        if key not in self.workqueues:
            raise NotFound(f"workqueues {key.name} not found")
        json.dumps(status)  # as it must go over the wire
        self.writes.append(("status", dict(status)))
        self.workqueues[key]["status"] = dict(status)

    async def post_event(self, key: Key, uid: str, notice: Notice) -> None:
        self._fail_if_told()
        self.events.append(notice)

    async def ask_tasks_in_progress(self, pod: Pod, port: int) -> int | None:
        return self.tasks.get(pod.name)

    def _change(self, key: Key, replicas: int) -> Target:
        old = self.targets[key]
        self.targets[key] = replace(old, replicas=replicas, ready=replicas, resource_version=old.resource_version + 1)
        return self.targets[key]

    def _follow(self, target: Target) -> None:
        """Delete as a ReplicaSet does, cheapest and youngest first; make what is missing, idle."""
        order = sorted(
            self.pods.values(), key=lambda pod: (not pod.pending, pod.ready, pod.deletion_cost, -pod.created)
        )
        for pod in order[: max(0, len(order) - target.replicas)]:
            del self.pods[pod.name]
        born = max((pod.created for pod in self.pods.values()), default=0.0)
        for _ in range(target.replicas - len(self.pods)):
            born += 1
            name = f"{target.key.name}-{born:.0f}"
            self.pods[name] = Pod(name, "127.0.0.1", False, True, True, False, born, 0, 0)
            self.tasks[name] = 0

    def _fail_if_told(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


@dataclass
class FakeQueueReader:
    """The QueueReader port in memory."""

    queues: dict[str, QueueCounts] = field(default_factory=dict)
    #: Answered for every queue while it is set.
    trouble: BrokerError | None = None
    closed: bool = False

    async def read(self, queues: Sequence[QueueSpec]) -> Sequence[Answer]:
        return [self.trouble or self._read_one(queue) for queue in queues]

    def declare_dead_letter_queue(self, queue: QueueSpec) -> None:
        self.queues.setdefault(queue.dead_letter_queue, QueueCounts(0, 0))

    async def close(self) -> None:
        self.closed = True

    def _read_one(self, queue: QueueSpec) -> Answer:
        name = queue.declaration.name
        if name not in self.queues:
            if queue.declare is Declare.NEVER:
                return QueueMissing(f"404 no queue '{name}'")
            self.queues[name] = QueueCounts(0, 0)
            self.declare_dead_letter_queue(queue)
            return QueueReading(self.queues[name], created=True)
        return QueueReading(self.queues[name])
