"""What the demo shows: the WorkQueue's status, the numbers of operator and broker, and what the workers have in hand.

Rule: what could not be read keeps its last value; a failed read is never a zero. What was acked the broker counts: a
worker may go between its last ack and the next look.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from dev.kube import Proxy, total

METRICS_PORT = 8000
OPERATOR_PORT = 8080
BROKER, BROKER_PORT = "rabbitmq-0", 15692
ACKED = "rabbitmq_global_messages_acknowledged_total"
REDELIVERED = "rabbitmq_global_messages_redelivered_total"
CONSUMERS = "rabbitmq_consumers"


@dataclass
class View:
    """One WorkQueue, seen from outside."""

    proxy: Proxy
    namespace: str
    queue: str
    status: dict[str, Any] = field(default_factory=dict)
    #: The operator's metrics page: live, where the status has moving counts every few seconds only.
    operator: Mapping[str, float] = field(default_factory=dict)
    #: The workers' pods by name, with their phase; None: never read.
    pods: Mapping[str, str] | None = None
    peak: int = 0
    #: The last metrics page of each worker.
    workers: dict[str, Mapping[str, float]] = field(default_factory=dict)
    #: The broker's metrics page, and that from which on is counted.
    broker: Mapping[str, float] = field(default_factory=dict)
    baseline: Mapping[str, float] = field(default_factory=dict)

    def look(self) -> None:
        found = self.proxy.data(f"/apis/workqueue.dev/v1alpha1/namespaces/{self.namespace}/workqueues/{self.queue}")
        self.status = found.get("status", {}) if found else self.status
        self.operator = self._operator_page() or self.operator
        pods = self._pods("app.kubernetes.io%2Finstance", self.queue)
        self.pods = self.pods if pods is None else pods
        for name, phase in (self.pods or {}).items():
            page = self.proxy.metrics(self.namespace, name, METRICS_PORT) if phase == "Running" else None
            if page is not None:
                self.workers[name] = page
        # Last, so that it counts the last acks of the workers that are seen to be gone.
        self.broker = self.proxy.metrics(self.namespace, BROKER, BROKER_PORT) or self.broker
        self.peak = max(self.peak, self.replicas)

    def forget(self) -> None:
        """Count from here on."""
        self.baseline = self.broker
        self.peak = 0

    @property
    def replicas(self) -> int:
        return int(self.status.get("replicas", 0))

    @property
    def waiting(self) -> int | None:
        """messages_ready; None: not read yet."""
        return int(total(self.operator, "workqueue_operator_messages_ready")) if self.operator else None

    @property
    def in_progress(self) -> int:
        """Tasks of the workers that are there."""
        return sum(int(total(self.workers.get(name), "workqueue_tasks_in_progress")) for name in self.pods or {})

    @property
    def quiet(self) -> bool:
        """No task and no worker, both seen, and no consumer at the broker: nothing is acked any more."""
        return self.pods == {} and self.waiting == 0 and self.broker.get(CONSUMERS) == 0

    def count(self, name: str) -> int:
        """ACKED or REDELIVERED."""
        return int(total(self.broker, name) - total(self.baseline, name))

    def _pods(self, label: str, value: str) -> dict[str, str] | None:
        pods = self.proxy.items(f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={label}%3D{value}")
        return None if pods is None else {one["metadata"]["name"]: one["status"].get("phase", "") for one in pods}

    def _operator_page(self) -> Mapping[str, float] | None:
        pods = self._pods("app.kubernetes.io%2Fname", "workqueue-operator") or {}
        pages = (self.proxy.metrics(self.namespace, name, OPERATOR_PORT) for name in pods)
        return next((page for page in pages if page), None)


def table(view: View, tasks: int) -> Table:
    shown = Table(title=f"WorkQueue {view.namespace}/{view.queue}", min_width=72)
    for heading in ("messages_ready", "in progress", "acked", "replicas", "desired"):
        shown.add_column(heading, justify="right")
    shown.add_row(
        _number(view.waiting),
        str(view.in_progress),
        f"{view.count(ACKED)}/{tasks}",
        f"{view.replicas} {'█' * view.replicas}",
        _number(view.status.get("desiredReplicas")),
    )
    shown.caption = _last_decision(view)
    return shown


def line(view: View, tasks: int) -> str:
    """The same where there is no terminal."""
    return (
        f"messages_ready {_number(view.waiting):>3}  in progress {view.in_progress:3}  "
        f"acked {view.count(ACKED):3}/{tasks}  replicas {view.replicas:3}  "
        f"desired {_number(view.status.get('desiredReplicas')):>3}  {_last_decision(view)}"
    )


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)


def _last_decision(view: View) -> str:
    last = view.status.get("lastDecision", {})
    return f"{last.get('reason', '')}: {last.get('message', '')}"
