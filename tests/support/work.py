"""A WorkQueue with its workers on a real cluster, as the cluster tests use it: install, send, look."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kube import RESTRICTED, Kube, Proxy, image_settings, images, total
from waiting import wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
SYSTEM = "workqueue-test-system"
BROKER = "workqueue-test-broker"
METRICS_PORT = 8000
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def make_namespace(kube: Kube, name: str) -> None:
    metadata = {"name": name, "labels": {**RESTRICTED, "workqueue.dev/made-by": "tests"}}
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


def install_operator(kube: Kube, namespace: str, *settings: str) -> None:
    chart = str(CHECKOUT / "charts" / "workqueue-operator")
    kube.helm(
        *("upgrade", "--install", "operator", chart, "-n", namespace, *image_settings("operator")),
        *("--wait", "--timeout", "180s", *settings),
    )


@dataclass
class Work:
    """One release of the queue's chart, and what can be seen of it."""

    kube: Kube
    proxy: Proxy
    namespace: str
    name: str = "jobs"

    @property
    def queue(self) -> str:
        """No other test's queue has this name."""
        return f"{self.name}-{self.namespace}"

    def install(self, *, wait: bool = True, **settings: Any) -> None:
        """helm install, with values given as a path with __ for dots; waits until the WorkQueue is Ready."""
        values = {
            "broker.secretName": "rabbitmq",
            "queue.name": self.queue,
            "taskTimeoutSeconds": 120,
            "resources.requests.cpu": "10m",  # many pods on a small node, and those that leave still count
            "scaling.maxReplicas": 6,
            "scaling.scaleDown.stabilizationWindowSeconds": 5,
            **{name.replace("__", "."): value for name, value in settings.items()},
        }
        flags = [flag for name, value in values.items() for flag in ("--set", f"{name}={value}")]
        chart = str(CHECKOUT / "charts" / "workqueue")
        self.kube.helm("install", self.name, chart, "-n", self.namespace, *image_settings("worker"), *flags)
        if wait:
            ready = ("--for=condition=Ready", "--timeout=120s")
            self.kube.kubectl("wait", "-n", self.namespace, f"wq/{self.name}", *ready)

    def settle(self) -> None:
        """Wait until the worker that a new Deployment starts with has gone again."""
        wait_until(lambda: not self.pods() and self.replicas() == 0, 120, "no worker is left")

    def send(self, tasks: list[str]) -> None:
        """Send tasks with new-task, from a pod of the producer's image."""
        if not self.kube.exists("pod", "producer", "-n", self.namespace):
            self.kube.apply(producer_pod(self.namespace))
            self.kube.kubectl("wait", "-n", self.namespace, "pod/producer", "--for=condition=Ready", "--timeout=120s")
        command = ("python", "-m", "workqueue_producer", "--queue", self.queue, "-")
        self.kube.kubectl(
            *("exec", "-i", "-n", self.namespace, "producer", "--", *command),
            given="".join(f"{task}\n" for task in tasks),
        )

    def workqueue(self) -> dict[str, Any]:
        found: dict[str, Any] = self.kube.get("wq", self.name, "-n", self.namespace)
        return found

    def status(self) -> dict[str, Any]:
        return dict(self.workqueue().get("status", {}))

    def condition(self, name: str) -> dict[str, Any] | None:
        return next((one for one in self.status().get("conditions", []) if one["type"] == name), None)

    def replicas(self) -> int:
        deployment = self.kube.get("deployment", f"{self.name}-worker", "-n", self.namespace)
        return int(deployment["spec"]["replicas"])

    def pods(self) -> list[dict[str, Any]]:
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=app.kubernetes.io%2Finstance%3D{self.name}"
        return self.proxy.items(path)

    def staying(self) -> dict[str, bool]:
        """The pods that nobody told to go, by name, and whether each is Ready."""
        return {pod["metadata"]["name"]: is_ready(pod) for pod in self.pods() if not is_going(pod)}

    def going(self) -> set[str]:
        """The pods that were told to go."""
        return {pod["metadata"]["name"] for pod in self.pods() if is_going(pod)}

    def marked(self) -> set[str]:
        """The pods with a deletion cost."""
        return {pod["metadata"]["name"] for pod in self.pods() if DELETION_COST in annotations(pod)}

    def running(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.pods() if pod["status"]["phase"] == "Running"]

    def metric(self, pod: str, name: str) -> int | None:
        page = self.proxy.metrics(self.namespace, pod, METRICS_PORT)
        return None if page is None else int(total(page, name))

    def tasks_in_progress(self) -> dict[str, int]:
        """By pod, of those that answer and were not told to go."""
        told = {pod: self.metric(pod, "workqueue_tasks_in_progress") for pod in self.staying()}
        return {pod: tasks for pod, tasks in told.items() if tasks is not None}

    def count(self, name: str) -> int:
        """A counter over the workers that run now."""
        return sum(self.metric(pod, name) or 0 for pod in self.running())

    def counts(self, queue: str | None = None) -> tuple[int, int]:
        """(messages_ready, messages_unacknowledged), as rabbitmqctl tells."""
        listed = rabbitmqctl(
            self.kube, "list_queues", "name", "messages_ready", "messages_unacknowledged", "--formatter=json"
        )
        found = next(item for item in json.loads(listed) if item["name"] == (queue or self.queue))
        return found["messages_ready"], found["messages_unacknowledged"]


def is_going(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def annotations(pod: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = pod["metadata"].get("annotations", {})
    return found


def rabbitmqctl(kube: Kube, *arguments: str) -> str:
    return kube.kubectl("exec", "-n", BROKER, "rabbitmq-0", "--", "rabbitmqctl", "--quiet", *arguments)


def producer_pod(namespace: str) -> dict[str, Any]:
    """A pod that waits, to send tasks from."""
    image = images()["producer"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "producer", "namespace": namespace},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "producer",
                    "image": f"{image['repository']}:{image['tag']}",
                    "command": ["python", "-c", "import signal; signal.pause()"],
                    "env": [{"name": "AMQP_SECRET_DIR", "value": "/etc/workqueue/broker"}],
                    "workingDir": "/tmp",
                    "volumeMounts": [
                        {"name": "broker", "mountPath": "/etc/workqueue/broker", "readOnly": True},
                        {"name": "tmp", "mountPath": "/tmp"},
                    ],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
            "volumes": [{"name": "broker", "secret": {"secretName": "rabbitmq"}}, {"name": "tmp", "emptyDir": {}}],
        },
    }
