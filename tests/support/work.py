"""A WorkQueue with its workers on a real cluster, as the cluster tests use it: install, send, look.

Rule: what a test reads again and again, it reads through the proxy. Each start of kubectl takes a tenth of a second of
processor time, so that waits by it kept a core busy.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dev import broker_counts
from dev.kube import MADE_BY, Kube, Proxy, image_name, image_settings, total
from dev.operators import OWNER, TESTS_NAMESPACE, definition_settings
from tests.support.waiting import wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
#: Names of this process's own namespaces end with this: each pytest-xdist process has an operator and a broker.
PROCESS = "".join(f"-{name}" for name in (os.environ.get("PYTEST_XDIST_WORKER"),) if name)
SYSTEM = f"{TESTS_NAMESPACE}{PROCESS}"
BROKER = f"workqueue-test-broker{PROCESS}"
#: The one namespace that this process's operator serves, and one that no operator serves.
SERVED = f"workqueue-test{PROCESS}"
UNSERVED = f"workqueue-test-unserved{PROCESS}"
#: One that a test deletes while the operator serves it too.
DELETED = f"workqueue-test-deleted{PROCESS}"
METRICS_PORT = 8000
OPERATOR_PORT = 8080
#: What a test may leave behind in its namespace, in the order in which it goes: first what makes pods.
MAKERS = "workqueues.workqueue.dev,horizontalpodautoscalers,jobs,deployments,replicasets"
MADE = "pods,secrets"
#: All of them but the broker's Secret, which every test needs.
ALL_BUT_THE_BROKERS = "--field-selector=metadata.name!=rabbitmq"
#: helm's release of the operator.
OPERATOR = "operator"
DEFINITION_TEMPLATE = "templates/crd.yaml"
#: The maker, by the label of a namespace.
TESTS = "tests"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def make_namespace(kube: Kube, name: str) -> None:
    kube.make_namespace(name, TESTS)


def remove_namespaces(kube: Kube) -> None:
    """All that the cluster tests made, of every process and of a run that was killed, at once."""
    kube.kubectl("delete", "namespaces", "--selector", f"{MADE_BY}={TESTS}", "--wait", "--timeout=180s")


def empty_namespace(kube: Kube, name: str) -> None:
    """Remove what a test left, with its processes: a worker with a long task would hold its share of the node, and ack.

    A second of grace, not none: a pod deleted by force is gone from the API at once, and its worker takes the time that
    its own specification grants. So does one that the garbage collector deletes first: owners leave their pods behind.
    """
    everything = (ALL_BUT_THE_BROKERS, "-n", name, "--wait", "--timeout=120s")
    kube.kubectl("delete", MAKERS, *everything, "--cascade=orphan")
    kube.kubectl("delete", MADE, *everything, "--grace-period=1")


def install_operator(kube: Kube, *settings: str, namespaces: Sequence[str] = (SERVED,)) -> None:
    """For the one namespace of the tests, if no others are named; an upgrade when it is there.

    Without the definition of WorkQueue, as the whole cluster has one: install_definition() has brought it.
    """
    chosen = (*image_settings("operator"), "--set", "crds.enabled=false", *settings)
    only_here = ("--set", f"watchNamespaces={{{','.join(namespaces)}}}", "--wait", "--timeout", "180s")
    kube.install(OPERATOR, "workqueue-operator", SYSTEM, *chosen, *only_here)


def install_definition(kube: Kube) -> None:
    """That of this checkout, as a release of the tests' operator would; another team's stays."""
    if "crds.enabled=false" in definition_settings(kube):
        return
    chart = str(CHECKOUT / "charts" / "workqueue-operator")
    only = ("--show-only", DEFINITION_TEMPLATE, "--set", "crds.enabled=true")
    definition = yaml.safe_load(kube.helm("template", OPERATOR, chart, "-n", TESTS_NAMESPACE, *only))
    metadata = definition["metadata"]
    metadata.setdefault("annotations", {}).update({OWNER: TESTS_NAMESPACE, "meta.helm.sh/release-name": OPERATOR})
    as_helm = ("--server-side", "--force-conflicts", "--field-manager=helm")
    kube.kubectl("apply", *as_helm, "--filename", "-", given=json.dumps(definition))
    kube.kubectl("wait", f"crd/{metadata['name']}", "--for=condition=Established", "--timeout=60s")


class Unread(Exception):
    """There was no answer, so nothing is known; wait_until asks again."""


@dataclass
class Work:
    """One release of the queue's chart, and what can be seen of it."""

    kube: Kube
    proxy: Proxy
    namespace: str
    #: Of the release and the WorkQueue; no other test's has it.
    name: str
    #: The queue's name, where it is not the WorkQueue's.
    queue_name: str | None = None

    @property
    def queue(self) -> str:
        return self.queue_name or f"{self.name}-queue"

    def install(self, *, wait: bool = True, **settings: Any) -> None:
        """helm install, with values given as a path with __ for dots; waits until the WorkQueue is Ready."""
        values = {
            "broker.secretName": "rabbitmq",
            "queue.name": self.queue,
            "taskTimeoutSeconds": 120,
            "resources.requests.cpu": "10m",  # many pods on a small node, and those that leave still count
            "scaling.maxReplicas": 6,
            "scaling.scaleDown.stabilizationWindowSeconds": 2,
            **{name.replace("__", "."): value for name, value in settings.items()},
        }
        flags = [flag for name, value in values.items() for flag in ("--set", f"{name}={value}")]
        self.install_chart("worker", *flags)
        if wait:
            self.wait_until_ready()

    def install_chart(self, image: str, *flags: str) -> None:
        """helm install with one of our images and these flags, and nothing else."""
        chart = str(CHECKOUT / "charts" / "workqueue")
        self.kube.helm("install", self.name, chart, "-n", self.namespace, *image_settings(image), *flags)

    def wait_until_ready(self) -> None:
        ready = ("--for=condition=Ready", "--timeout=120s")
        self.kube.kubectl("wait", "-n", self.namespace, f"wq/{self.name}", *ready)

    def change(self, spec: dict[str, Any]) -> None:
        """Change the WorkQueue's spec."""
        patch = ("--type=merge", "--patch", json.dumps({"spec": spec}))
        self.kube.kubectl("patch", "wq", self.name, "-n", self.namespace, *patch)

    def settle(self) -> None:
        """Wait until the worker that a new Deployment starts with has gone again, and the broker has no consumer."""
        wait_until(lambda: not self.pods() and self.replicas() == 0, 120, "no worker is left")
        wait_until(lambda: broker_page(self.proxy)["rabbitmq_consumers"] == 0, 60, "the broker has no consumer")

    def send(self, tasks: list[str]) -> None:
        """Send tasks with new-task, from the pod of the producer's image that this process's tests share."""
        command = ("python", "-m", "workqueue_producer", "--queue", self.queue, "-")
        self.kube.kubectl(
            *("exec", "-i", "-n", BROKER, "producer", "--", *command), given="".join(f"{task}\n" for task in tasks)
        )

    def workqueue(self) -> dict[str, Any]:
        return self._read(f"/apis/workqueue.dev/v1alpha1/namespaces/{self.namespace}/workqueues/{self.name}")

    def status(self) -> dict[str, Any]:
        return dict(self.workqueue().get("status", {}))

    def condition(self, name: str) -> dict[str, Any] | None:
        return next((one for one in self.status().get("conditions", []) if one["type"] == name), None)

    def replicas(self) -> int:
        deployment = self._read(f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.name}-worker")
        return int(deployment["spec"]["replicas"])

    def _read(self, path: str) -> dict[str, Any]:
        found = self.proxy.data(path)
        if found is None:
            raise Unread(path)
        return found

    def pods(self) -> list[dict[str, Any]]:
        """Raises Unread when they could not be read, which is not the same as none."""
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=app.kubernetes.io%2Finstance%3D{self.name}"
        found = self.proxy.items(path)
        if found is None:
            raise Unread(f"the pods of {self.name}")
        return found

    def staying(self) -> dict[str, bool]:
        """The pods that are not being deleted, by name, and whether each is Ready."""
        return {pod["metadata"]["name"]: is_ready(pod) for pod in self.pods() if not is_going(pod)}

    def going(self) -> set[str]:
        """The pods that are being deleted."""
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
        """By pod, of those that answer and are not being deleted."""
        answers = {pod: self.metric(pod, "workqueue_tasks_in_progress") for pod in self.staying()}
        return {pod: tasks for pod, tasks in answers.items() if tasks is not None}

    def count(self, name: str) -> int:
        """A counter over the workers that run now; raises Unread when one of them does not answer."""
        answers = {pod: self.metric(pod, name) for pod in self.running()}
        if silent := [pod for pod, value in answers.items() if value is None]:
            raise Unread(f"{name} of {', '.join(silent)}")
        return sum(value for value in answers.values() if value is not None)

    def acked_by_broker(self) -> int:
        """Messages acked since the broker's start, of every queue; exact between two settle().

        Unlike a worker's own count it stays when the worker goes.
        """
        return int(total(broker_page(self.proxy), "rabbitmq_global_messages_acknowledged_total"))

    def counts(self, queue: str | None = None) -> tuple[int, int] | None:
        """(messages_ready, messages_unacknowledged) as they are now; None when there is no such queue."""
        asked = broker_counts.expression("/", queue or self.queue)
        return broker_counts.parse(rabbitmqctl(self.kube, "eval", f"{asked}."))

    def outcomes(self, pod: str) -> list[dict[str, Any]]:
        """The worker's log records about tasks; each has at least `id` and `outcome`."""
        return task_records(self.kube.kubectl("logs", "-n", self.namespace, pod))

    @contextmanager
    def following(self, pod: str) -> Iterator[Callable[[], list[dict[str, Any]]]]:
        """The same of a pod that goes during the block: call it once the pod has gone."""
        command = ["kubectl", "--context", self.kube.context, "logs", "--follow", "-n", self.namespace, pod]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield lambda: task_records(process.communicate(timeout=60)[0])
            finally:
                process.terminate()

    def dead_lettered(self) -> int:
        """Messages in the dead-letter queue, which is made when the first one comes."""
        return sum(self.counts(f"{self.queue}.dead") or ())


def broker_page(proxy: Proxy) -> dict[str, float]:
    """The broker's metrics, which the broker reads as it is asked."""
    page = proxy.metrics(BROKER, "rabbitmq-0", 15692)
    if page is None:
        raise Unread("the broker's metrics")
    return page


def operator_pod(proxy: Proxy) -> dict[str, Any]:
    """The one pod of this process's operator; raises ValueError while there is none or another one."""
    path = f"/api/v1/namespaces/{SYSTEM}/pods?labelSelector=app.kubernetes.io%2Fname%3Dworkqueue-operator"
    (pod,) = [pod for pod in proxy.items(path) or () if not is_going(pod)]
    return pod


def operator_metrics(proxy: Proxy) -> dict[str, float]:
    """The operator's metrics page; raises Unread when it does not answer."""
    page = proxy.metrics(SYSTEM, operator_pod(proxy)["metadata"]["name"], OPERATOR_PORT)
    if page is None:
        raise Unread("the operator's metrics")
    return page


def shown_row(table: str) -> dict[str, str]:
    """The last row of what `kubectl get` printed, by column."""
    names, values = table.splitlines()[-2:]
    return dict(zip(names.split(), values.split(), strict=True))


def task_records(log: str) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [record for record in records if record.get("message") == "task"]


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


def start_producer(kube: Kube, namespace: str) -> None:
    """A pod to send tasks from; waits until it is there."""
    kube.apply(producer_pod(namespace))
    kube.kubectl("wait", "-n", namespace, "pod/producer", "--for=condition=Ready", "--timeout=120s")


def producer_pod(namespace: str) -> dict[str, Any]:
    """A pod that waits, to send tasks from."""
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
                    "image": image_name("producer"),
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
            "volumes": [
                {"name": "broker", "secret": {"secretName": "rabbitmq"}},
                {"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}},
            ],
        },
    }
