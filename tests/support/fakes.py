"""The fakes: a cluster and a broker in memory.

tests/support/cluster_contract.py holds the cluster to what a real API server does.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workqueue_broker.declaration import Declare, QueueCounts
from workqueue_broker.errors import BrokerError, QueueMissing
from workqueue_operator.cluster.kubernetes_values import FIELD_MANAGER
from workqueue_operator.cluster.local.merge_patch import merged
from workqueue_operator.cluster.port import (
    ClusterError,
    ClusterUnavailable,
    Conflict,
    Listing,
    NotFound,
    Notice,
    Pod,
    Target,
)
from workqueue_operator.rabbitmq.queue_reader import QueueReading, ReadResult
from workqueue_operator.resource import Key, QueueSpec

#: A worker pod as most are; tests replace what matters to them.
WORKING = Pod(
    name="w",
    uid="1",
    ip="10.0.0.1",
    pending=False,
    running=True,
    ready=True,
    terminating=False,
    finished=False,
    created=100.0,
    deletion_cost=0,
    restarts=0,
)


@dataclass
class ManualClock:
    """A clock that moves only when a test advances it."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@dataclass
class PostedEvent:
    """An Event as the API server has it."""

    reason: str
    message: str
    count: int = 1


@dataclass
class FakeCluster:
    """The Cluster port in memory. Pods follow the replicas at once, as a ReplicaSet would make and delete them.

    A deleted pod terminates while its worker has a task or does not answer, and is gone when the worker has none.
    """

    secrets: dict[Key, dict[str, str]] = field(default_factory=dict)
    targets: dict[Key, Target] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    #: The labels of the pods, by name.
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    #: Tasks in progress by pod name; a name without an entry does not answer.
    tasks: dict[str, int] = field(default_factory=dict)
    workqueues: dict[Key, dict[str, Any]] = field(default_factory=dict)
    #: HorizontalPodAutoscalers by the Deployment that they scale.
    autoscalers: dict[Key, str] = field(default_factory=dict)
    #: Every Event that was asked for, also those that were only counted up.
    events: list[Notice] = field(default_factory=list)
    #: Those that there are, by the object's UID and the reason.
    posted: dict[tuple[str, str], PostedEvent] = field(default_factory=dict)
    #: Every write, in order: ("scale", 5), ("mark", "w-1"), …
    writes: list[tuple[str, Any]] = field(default_factory=list)
    #: How often pods were listed.
    pod_lists: int = 0
    #: Raised by the next calls, one each.
    failures: list[ClusterError] = field(default_factory=list)
    #: Raised for every deletion cost, while it is set.
    mark_trouble: ClusterError | None = None
    #: Scales that are carried out though their answer is lost.
    lost_answers: int = 0
    #: Pods that another client deletes just before we write to them.
    vanishing: set[str] = field(default_factory=set)
    #: Tasks that a worker gets just after its next answer, by pod name.
    next_tasks: dict[str, int] = field(default_factory=dict)
    #: The ReplicaSets do nothing until a test calls `carry_out`.
    replicasets_lag: bool = False
    #: Objects made so far; each has a UID, and each pod a name, that no other had.
    born: int = 0

    def add_deployment(self, key: Key, replicas: int) -> Target:
        self.born += 1
        uid, selector = f"uid-{key}-{self.born}", f"app={key.name}"
        self.targets[key] = Target(key, uid, 0, 0, False, selector, 1, grace_seconds=86_415)
        self._follow(self._change(key, replicas))
        return self.targets[key]

    async def list_workqueues(self) -> Listing:
        if self.failures:
            return {"": self.failures.pop(0)}
        return {"": list(self.workqueues.values())}

    async def read_secret(self, key: Key) -> Mapping[str, str]:
        self._raise_next_failure()
        if key not in self.secrets:
            raise NotFound(f"secrets {key.name} not found")
        return self.secrets[key]

    async def read_target(self, key: Key) -> Target:
        self._raise_next_failure()
        if key not in self.targets:
            raise NotFound(f"deployments {key.name} not found")
        return self.targets[key]

    async def read_pods(self, target: Target) -> Sequence[Pod]:
        self._raise_next_failure()
        self.pod_lists += 1
        for pod in [pod for pod in self.pods.values() if pod.terminating and self._is_finished(pod)]:
            del self.pods[pod.name]
        return self._pods_of(target)

    async def find_autoscaler(self, target: Key) -> str | None:
        self._raise_next_failure()
        return self.autoscalers.get(target)

    async def set_deletion_cost(self, namespace: str, pod: str, cost: int | None) -> None:
        self._raise_next_failure()
        if self.mark_trouble:
            raise self.mark_trouble
        if pod in self.vanishing:
            del self.pods[pod]
            self.vanishing.remove(pod)
        if pod not in self.pods:
            raise NotFound(f"pods {pod} not found")
        self.writes.append(("mark" if cost else "unmark", pod))
        self.pods[pod] = replace(self.pods[pod], deletion_cost=cost or 0)

    async def set_replicas(self, target: Target, replicas: int) -> Target:
        self._raise_next_failure()
        if target.key not in self.targets:
            raise NotFound(f"deployments {target.key.name} not found")
        there = self.targets[target.key]
        changed = there.resource_version != target.resource_version  # what a server-side apply compares
        applied = 0 in (target.replicas, replicas) or not target.sized_by
        if changed if applied else there.replicas != target.replicas:
            raise Conflict("the replicas are not as they were seen")
        self.writes.append(("scale", replicas))
        self._follow(self._change(target.key, replicas, FIELD_MANAGER))
        if self.lost_answers:
            self.lost_answers -= 1
            raise ClusterUnavailable("PATCH scale: no answer in time")
        return self.targets[target.key]

    async def write_status(self, key: Key, status: Mapping[str, Any]) -> None:
        self._raise_next_failure()
        if key not in self.workqueues:
            raise NotFound(f"workqueues {key.name} not found")
        sent = json.loads(json.dumps(status))  # as it must go over the wire
        self.writes.append(("status", sent))
        self.workqueues[key]["status"] = merged(self.workqueues[key].get("status"), sent)

    async def post_event(self, key: Key, uid: str, notice: Notice) -> None:
        self._raise_next_failure()
        self.events.append(notice)
        count = self.posted[uid, notice.reason].count + 1 if (uid, notice.reason) in self.posted else 1
        self.posted[uid, notice.reason] = PostedEvent(notice.reason, notice.message, count)

    async def ask_tasks_in_progress(self, pod: Pod, port: int) -> int | None:
        answer = self.tasks.get(pod.name)
        if pod.name in self.next_tasks:
            self.tasks[pod.name] = self.next_tasks.pop(pod.name)
        return answer

    def carry_out(self, key: Key, at_most: int | None = None) -> None:
        """Have the Deployment's ReplicaSet delete and make pods; `at_most` so many are deleted."""
        target = self.targets[key]
        active = [pod for pod in self._pods_of(target) if pod.active]
        order = sorted(active, key=lambda pod: (not pod.pending, pod.ready, pod.deletion_cost, -pod.created))
        too_many = max(0, len(order) - target.replicas)
        for pod in order[: too_many if at_most is None else min(at_most, too_many)]:
            self.terminate(pod.name)
        for _ in range(target.replicas - len(order)):
            self._make_pod(key)

    def terminate(self, name: str) -> None:
        """Delete the pod."""
        self.pods[name] = replace(self.pods[name], terminating=True)
        if self._is_finished(self.pods[name]):
            del self.pods[name]

    def _make_pod(self, key: Key) -> None:
        self.born += 1
        name = f"{key.name}-{self.born:04}"
        self.pods[name] = replace(WORKING, name=name, uid=f"uid-{name}", ip="127.0.0.1", created=float(self.born))
        self.labels[name] = {"app": key.name}
        self.tasks[name] = 0

    def _is_finished(self, pod: Pod) -> bool:
        """A worker that was asked to leave ends when it has no task; one that does not answer may have one."""
        return not pod.running or self.tasks.get(pod.name) == 0

    def _pods_of(self, target: Target) -> list[Pod]:
        name, _, value = target.selector.partition("=")
        return [pod for pod in self.pods.values() if self.labels.get(pod.name, {}).get(name) == value]

    def scale(self, key: Key, replicas: int, manager: str) -> Target:
        """As an update of the scale: its manager is noted where the size had one, and has not at 0."""
        return self._change(key, replicas, manager if replicas and self.targets[key].sized_by else "")

    def _change(self, key: Key, replicas: int, manager: str = "") -> Target:
        old, version = self.targets[key], self.targets[key].resource_version + 1
        self.targets[key] = replace(old, replicas=replicas, ready=replicas, resource_version=version, sized_by=manager)
        return self.targets[key]

    def _follow(self, target: Target) -> None:
        if not self.replicasets_lag:
            self.carry_out(target.key)

    def _raise_next_failure(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


@dataclass
class FakeQueueReader:
    """The QueueReader port in memory."""

    queues: dict[str, QueueCounts] = field(default_factory=dict)
    #: Answered for every queue while it is set.
    trouble: BrokerError | None = None
    closed: bool = False

    async def read(self, queues: Sequence[QueueSpec]) -> Sequence[ReadResult]:
        return [self.trouble or self._read_one(queue) for queue in queues]

    def declare_dead_letter_queue(self, queue: QueueSpec) -> None:
        self.queues.setdefault(queue.dead_letter_queue, QueueCounts(0, 0))

    async def count(self, name: str) -> QueueCounts:
        if self.trouble:
            raise self.trouble
        if name not in self.queues:
            raise QueueMissing(f"404 no queue '{name}'")
        return self.queues[name]

    async def close(self) -> None:
        self.closed = True

    def _read_one(self, queue: QueueSpec) -> ReadResult:
        name = queue.declaration.name
        if name not in self.queues:
            if queue.declare is Declare.NEVER:
                return QueueMissing(f"404 no queue '{name}'")
            self.queues[name] = QueueCounts(0, 0)
            self.declare_dead_letter_queue(queue)
            return QueueReading(self.queues[name], created=True)
        return QueueReading(self.queues[name])
