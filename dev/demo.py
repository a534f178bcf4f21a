"""The main job, to watch: installs operator, broker and one WorkQueue, sends 60 tasks, shows the workers come and go.

Run by `make demo` and `make clean-demo`, inside dev/with_cluster.py. Everything it makes lies in one namespace.
"""

import argparse
import json
import os
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from kube import RESTRICTED, CommandFailed, Kube, Proxy, image_settings, images, install_broker, total
from rich.console import Console
from rich.live import Live
from rich.table import Table

CHECKOUT = Path(__file__).resolve().parents[1]
NAMESPACE = "workqueue-demo"
MADE_BY = {"workqueue.dev/made-by": "demo"}
QUEUE = "thumbnails"
OPERATOR = "workqueue-operator"
TASKS = 60
#: Seconds after which a demo that does not end is given up, and between two looks.
DEADLINE_SECONDS = 600.0
LOOK_SECONDS = 0.5
METRICS_PORT = 8000

console = Console()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--clean", action="store_true", help="remove what the demo made, and only that")
    kube = Kube(os.environ["KUBE_CONTEXT"])
    try:
        return clean(kube) if parser.parse_args().clean else demo(kube)
    except CommandFailed as error:
        console.print(f"[red]Error:[/] {error}", markup=True, highlight=False)
        return 1


def demo(kube: Kube) -> int:
    console.print(f"Cluster: [bold]{kube.context}[/]")
    prepare_namespace(kube)
    with console.status("Installing the operator (helm) …"):
        install_operator(kube)
    with console.status("Starting RabbitMQ …"):
        install_broker(NAMESPACE)
    with console.status("Installing the WorkQueue and its worker Deployment (helm) …"):
        install_queue(kube)
        kube.kubectl("wait", "-n", NAMESPACE, f"wq/{QUEUE}", "--for=condition=Ready", "--timeout=120s")
    with kube.proxy() as proxy:
        view = View(proxy)
        with console.status("Waiting until no worker is left from before …"):
            wait_for_quiet(view)
        view.forget()
        send(kube)
        watched = watch(view)
    print_summary(kube, view)
    print_hints(kube)
    return 0 if watched else 1


def prepare_namespace(kube: Kube) -> None:
    if kube.exists("namespace", NAMESPACE):
        labels = kube.get("namespace", NAMESPACE)["metadata"].get("labels", {})
        if not MADE_BY.items() <= labels.items():
            raise CommandFailed(f"namespace {NAMESPACE} is there and not the demo's: remove it, or use another cluster")
    metadata = {"name": NAMESPACE, "labels": {**MADE_BY, **RESTRICTED}}
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


def install_operator(kube: Kube) -> None:
    """With the definition only where there is none yet, and an eye only on the demo's namespace."""
    crd = "workqueues.workqueue.dev"
    foreign = kube.exists("crd", crd) and not _is_ours(kube.get("crd", crd))
    kube.helm(
        *("upgrade", "--install", OPERATOR, str(CHECKOUT / "charts" / "workqueue-operator"), "-n", NAMESPACE),
        *image_settings("operator"),
        *("--set", f"crds.enabled={'false' if foreign else 'true'}", "--set", "crds.keep=false"),
        *("--set", f"watchNamespaces={{{NAMESPACE}}}", "--wait", "--timeout", "180s"),
    )


def _is_ours(crd: dict[str, Any]) -> bool:
    annotations = crd["metadata"].get("annotations", {})
    return bool(annotations.get("meta.helm.sh/release-namespace") == NAMESPACE)


def install_queue(kube: Kube) -> None:
    kube.helm(
        *("upgrade", "--install", QUEUE, str(CHECKOUT / "charts" / "workqueue"), "-n", NAMESPACE),
        *image_settings("worker"),
        *("--set", "broker.secretName=rabbitmq", "--set", "queue.name=task_queue", "--set", "taskTimeoutSeconds=60"),
        *("--set", "scaling.maxReplicas=12", "--set", "scaling.scaleDown.stabilizationWindowSeconds=15"),
    )


def send(kube: Kube) -> None:
    """Sixty tasks of one to three seconds: a dot is a second."""
    tasks = "".join(f"Task {number}{'.' * (1 + number % 3)}\n" for number in range(1, TASKS + 1))
    image = images()["producer"]
    kube.kubectl("delete", "job", "send-tasks", "-n", NAMESPACE, "--ignore-not-found")
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "tasks", "namespace": NAMESPACE},
            "data": {"tasks.txt": tasks},
        },
        sender(f"{image['repository']}:{image['tag']}"),
    )


def sender(image: str) -> dict[str, Any]:
    """A Job that sends the lines of the ConfigMap."""
    container = {
        "name": "new-task",
        "image": image,
        "args": ["--queue", "task_queue", "--file", "/tasks/tasks.txt"],
        "env": [{"name": "AMQP_SECRET_DIR", "value": "/etc/workqueue/broker"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "workingDir": "/tmp",
        "volumeMounts": [
            {"name": "tasks", "mountPath": "/tasks"},
            {"name": "broker", "mountPath": "/etc/workqueue/broker", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "tasks", "configMap": {"name": "tasks"}},
            {"name": "broker", "secret": {"secretName": "rabbitmq"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "send-tasks", "namespace": NAMESPACE},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }


@dataclass
class View:
    """What is seen from outside: the WorkQueue's status, and each worker's own metrics as last read."""

    proxy: Proxy
    status: dict[str, Any] = field(default_factory=dict)
    operator: dict[str, float] = field(default_factory=dict)
    replicas: int = 0
    pods: int = 0
    peak: int = 0
    waiting: int = 0
    unacknowledged: int = 0
    #: The last metrics page of every worker that was ever seen.
    workers: dict[str, dict[str, float]] = field(default_factory=dict)
    baseline: dict[str, float] = field(default_factory=dict)

    def look(self) -> None:
        api = f"/apis/workqueue.dev/v1alpha1/namespaces/{NAMESPACE}/workqueues"
        found = [item for item in self.proxy.items(api) if item["metadata"]["name"] == QUEUE]
        self.status = found[0].get("status", {}) if found else {}
        self.operator = self._operator_page()
        self.waiting = int(total(self.operator, "workqueue_operator_messages_ready"))
        selector = f"app.kubernetes.io%2Finstance%3D{QUEUE}"
        pods = self.proxy.items(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={selector}")
        running = [pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") == "Running"]
        self.pods = len(pods)
        self.replicas = self.status.get("replicas", 0)
        self.peak = max(self.peak, self.replicas)
        self.unacknowledged = 0
        for name in running:
            page = self.proxy.metrics(NAMESPACE, name, METRICS_PORT)
            if page is not None:
                self.workers[name] = page
                self.unacknowledged += int(total(page, "workqueue_tasks_in_progress"))

    def forget(self) -> None:
        """Count from here on."""
        self.baseline = {name: self._sum(name) for name in COUNTERS}
        self.peak = 0

    def count(self, name: str) -> int:
        return int(self._sum(name) - self.baseline.get(name, 0.0))

    def _operator_page(self) -> dict[str, float]:
        """The operator's metrics: live, where the status has moving counts every few seconds only."""
        selector = "app.kubernetes.io%2Fname%3Dworkqueue-operator"
        pods = self.proxy.items(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={selector}")
        pages = [self.proxy.metrics(NAMESPACE, pod["metadata"]["name"], 8080) for pod in pods]
        return next((page for page in pages if page), {})

    def _sum(self, name: str) -> float:
        return sum(total(page, name) for page in self.workers.values())


COUNTERS = {
    "workqueue_tasks_acked_total": "acked",
    "workqueue_tasks_redelivered_total": "redelivered",
    "workqueue_tasks_dead_lettered_total": "dead-lettered",
}


def wait_for_quiet(view: View) -> None:
    """No task and no worker: a worker Deployment starts with one, which the operator takes away."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    view.look()
    while view.pods or view.waiting:
        if time.monotonic() > deadline:
            raise CommandFailed(f"the queue does not become empty: kubectl describe wq -n {NAMESPACE} {QUEUE}")
        time.sleep(LOOK_SECONDS)
        view.look()


def watch(view: View) -> bool:
    """Show the numbers until all tasks are acked and the workers gone; False when that does not happen in time."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    with Live(console=console, refresh_per_second=4) if console.is_terminal else nullcontext() as live:
        while time.monotonic() < deadline:
            view.look()
            if live:
                live.update(table(view))
            else:
                print(line(view), flush=True)
            if view.count("workqueue_tasks_acked_total") >= TASKS and view.pods == 0:
                return True
            time.sleep(LOOK_SECONDS if live else 4 * LOOK_SECONDS)
    console.print(f"[red]Not finished within {DEADLINE_SECONDS:.0f} s.[/]")
    return False


def table(view: View) -> Table:
    last = view.status.get("lastDecision", {})
    acked = view.count("workqueue_tasks_acked_total")
    shown = Table(title=f"WorkQueue {NAMESPACE}/{QUEUE}", min_width=72)
    for heading in ("messages_ready", "in progress", "acked", "replicas", "desired"):
        shown.add_column(heading, justify="right")
    shown.add_row(
        str(view.waiting),
        str(view.unacknowledged),
        f"{acked}/{TASKS}",
        f"{view.replicas} {'█' * view.replicas}",
        str(view.status.get("desiredReplicas", "")),
    )
    shown.caption = f"{last.get('reason', '')}: {last.get('message', '')}"
    return shown


def line(view: View) -> str:
    last = view.status.get("lastDecision", {})
    return (
        f"messages_ready {view.waiting:3}  in progress {view.unacknowledged:3}  "
        f"acked {view.count('workqueue_tasks_acked_total'):3}/{TASKS}  replicas {view.replicas:3}  "
        f"desired {view.status.get('desiredReplicas', 0):3}  {last.get('reason', '')}: {last.get('message', '')}"
    )


def print_summary(kube: Kube, view: View) -> None:
    shown = Table(title="Summary", show_header=False)
    shown.add_row("tasks sent", str(TASKS))
    for name, word in COUNTERS.items():
        shown.add_row(f"tasks {word}", str(view.count(name)))
    shown.add_row("peak replicas", str(view.peak))
    shown.add_row("first publish to first scale", first_scale(kube))
    busy = total({key: value for key, value in view.operator.items() if 'state="busy"' in key}, VICTIMS)
    shown.add_row("busy workers stopped", f"{busy:.0f}")
    console.print(shown)


VICTIMS = "workqueue_operator_scale_down_victims_total"


def first_scale(kube: Kube) -> str:
    """Seconds by the cluster's clocks, from the line that the sender prints at its end to the operator's first step.

    The operator is often quicker than the sender's exit; then it is told as such and no number is made up.
    """
    sent = kube.kubectl("logs", "-n", NAMESPACE, "job/send-tasks", "--timestamps").splitlines()[0]
    stamp, _, words = sent.partition(" ")
    published = datetime.fromisoformat(stamp) - timedelta(seconds=float(words.split()[-2]))
    log = kube.kubectl("logs", "-n", NAMESPACE, f"deployment/{OPERATOR}", "--tail=500")
    lines = [json.loads(text) for text in log.splitlines() if text.startswith("{")]
    times = [datetime.fromisoformat(one["time"]) for one in lines if ": Backlog: 0 ->" in one["message"]]
    if not times:
        return "not seen"
    seconds = (times[-1] - published).total_seconds()
    return f"{seconds:.2f} s" if seconds > 0 else "before the sender had ended"


def print_hints(kube: Kube) -> None:
    console.print("\nThe cluster stays. Try:")
    kubeconfig = os.environ.get("KUBECONFIG")
    if kubeconfig and kube.context == "workqueue-local":
        console.print('  eval "$(python3 dev/cluster env)"', highlight=False)
    for command in (
        f"kubectl --context {kube.context} get wq -n {NAMESPACE} -w",
        f"kubectl --context {kube.context} describe wq -n {NAMESPACE} {QUEUE}",
        "make clean-demo    # removes what the demo made",
    ):
        console.print(f"  {command}", highlight=False)


def clean(kube: Kube) -> int:
    if not kube.exists("namespace", NAMESPACE):
        console.print(f"Nothing to remove: there is no namespace {NAMESPACE} in {kube.context}.")
        return 0
    labels = kube.get("namespace", NAMESPACE)["metadata"].get("labels", {})
    if not MADE_BY.items() <= labels.items():
        raise CommandFailed(f"namespace {NAMESPACE} was not made by the demo; it is left alone")
    with console.status("Removing the releases and the namespace …"):
        kube.helm("uninstall", QUEUE, "-n", NAMESPACE, "--ignore-not-found", "--wait")
        kube.helm("uninstall", OPERATOR, "-n", NAMESPACE, "--ignore-not-found", "--wait")
        kube.kubectl("delete", "namespace", NAMESPACE, "--wait", "--timeout=180s")
    console.print(f"Removed namespace {NAMESPACE} and all in it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
