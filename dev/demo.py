"""The main job, to watch: installs operator, broker and one WorkQueue, sends 60 tasks, shows the workers come and go.

Run by `make demo-cluster`, inside dev/with_cluster.py. All that it makes lies in one namespace, but for the definition
of WorkQueue; clean_demo.py removes both. Its test runs it in a namespace of the tests.
"""

import json
import os
import shlex
import sys
import time
from contextlib import nullcontext

from rich.console import Console
from rich.live import Live

from dev import broker_counts, sender
from dev.clusters import LOCAL_CONTEXT
from dev.demo_view import ACKED, BROKER, REDELIVERED, View, line, table
from dev.kube import CHECKOUT, CommandFailed, Kube, image_name, image_settings, install_broker
from dev.operators import (
    alone_in,
    definition_in_use,
    definition_settings,
    demo_arguments,
    operators,
    refuse_second_operator,
)
from dev.progress import working
from dev.reaction import first_growth, in_words
from dev.summary import Summary, busy_stopped
from dev.tasks import TASKS

QUEUE = "thumbnails"
TASK_QUEUE = "task_queue"
OPERATOR = "workqueue-operator"
DASHBOARDS = CHECKOUT / "charts" / "workqueue-operator" / "dashboards"
#: Seconds after which a demo that does not end is given up, and between two looks.
DEADLINE_SECONDS = 600.0
LOOK_SECONDS = 0.5
#: The same where every look is a line.
LINE_SECONDS = 2.0

console = Console()


def main() -> int:
    namespace = demo_arguments(__doc__).namespace
    try:
        kube = Kube(os.environ["KUBE_CONTEXT"])
        console.print(f"Cluster: [bold]{kube.context}[/]")
        with alone_in(kube, namespace, "the demo"), definition_in_use(kube, "the demo") as definition:
            install_operator(kube, namespace)
            definition.installed()
            return demo(kube, namespace)
    except CommandFailed as error:
        console.print("[red]Error:[/] ", end="")
        console.print(str(error), markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted. `make demo-cluster` goes on from here, `make clean-demo` removes what is there.")
        return 130


def demo(kube: Kube, namespace: str) -> int:
    install_queue(kube, namespace)
    with kube.proxy() as proxy:
        view = View(proxy, namespace, QUEUE)
        with working(console, "Waiting until no worker is left from before"):
            wait_for_quiet(view)
        view.forget()
        sender.start(kube, namespace, image_name("producer"), TASKS)
        sent = watch(kube, view)
    print_summary(kube, view, sent)
    print_hints(kube, namespace)
    return 0


def install_operator(kube: Kube, namespace: str) -> None:
    refuse_second_operator(operators(kube), namespace, namespace)
    kube.make_namespace(namespace, "demo")
    with working(console, "Installing the operator (helm)"):
        settings = (*image_settings("operator"), *definition_settings(kube), "--set", "dashboards.enabled=true")
        only_here = ("--set", f"watchNamespaces={{{namespace}}}", "--wait", "--timeout", "180s")
        kube.install(OPERATOR, "workqueue-operator", namespace, *settings, *only_here)


def install_queue(kube: Kube, namespace: str) -> None:
    with working(console, "Starting RabbitMQ"):
        install_broker(namespace)
    with working(console, "Installing the WorkQueue and its worker Deployment (helm)"):
        values = {
            "broker.secretName": "rabbitmq",
            "queue.name": TASK_QUEUE,
            "taskTimeoutSeconds": 60,
            "scaling.maxReplicas": 12,
            "scaling.scaleDown.stabilizationWindowSeconds": 15,
        }
        chosen = [flag for name, value in values.items() for flag in ("--set", f"{name}={value}")]
        kube.install(QUEUE, "workqueue", namespace, *image_settings("worker"), *chosen)
        kube.kubectl("wait", "-n", namespace, f"wq/{QUEUE}", "--for=condition=Ready", "--timeout=120s")


def wait_for_quiet(view: View) -> None:
    """No task and no worker: a worker Deployment starts with one, which the operator takes away."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    view.look()
    while not view.quiet:
        if time.monotonic() > deadline:
            raise CommandFailed(f"the queue does not become empty: kubectl describe wq -n {view.namespace} {QUEUE}")
        time.sleep(LOOK_SECONDS)
        view.look()


def watch(kube: Kube, view: View) -> sender.Sent:
    """Show the numbers until all that was sent is acked and the workers are gone.

    Raises CommandFailed when the sender failed, or when that does not happen in time.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    sent = None
    with Live(console=console, refresh_per_second=4) if console.is_terminal else nullcontext() as live:
        while time.monotonic() < deadline:
            view.look()
            if live:
                live.update(table(view, len(TASKS)))
            else:
                print(line(view, len(TASKS)), flush=True)
            job = view.proxy.data(f"/apis/batch/v1/namespaces/{view.namespace}/jobs/{sender.JOB}")
            sent = sent or sender.result(kube, view.namespace, job)
            if sent and view.count(ACKED) >= sent.confirmed and view.quiet:
                return sent
            time.sleep(LOOK_SECONDS if live else LINE_SECONDS)
    remedy = f"kubectl describe wq -n {view.namespace} {QUEUE}"
    raise CommandFailed(f"not finished within {DEADLINE_SECONDS:.0f} s: {remedy}")


def print_summary(kube: Kube, view: View, sent: sender.Sent) -> None:
    log = kube.kubectl("logs", "-n", view.namespace, f"deployment/{OPERATOR}", "--tail=1000")
    summary = Summary(
        sent=sent.confirmed,
        acked=view.count(ACKED),
        redelivered=str(view.count(REDELIVERED)),
        dead_lettered=dead_lettered(kube, view.namespace),
        peak=view.peak,
        reaction=in_words(sent.first_publish, first_growth(log, sent.first_publish)),
        busy_stopped=busy_stopped(view.operator),
    )
    console.print(summary.table())


def dead_lettered(kube: Kube, namespace: str) -> int:
    """Messages in the dead-letter queue, which is made when the first one comes."""
    asked = broker_counts.expression("/", f"{TASK_QUEUE}.dead")
    command = ("rabbitmqctl", "--quiet", "eval", f"{asked}.")
    found = broker_counts.parse(kube.kubectl("exec", "-n", namespace, BROKER, "--", *command))
    return sum(found) if found else 0


def print_hints(kube: Kube, namespace: str) -> None:
    console.print("\nThe cluster stays. Try:")
    kubeconfig = os.environ.get("KUBECONFIG")
    if kube.context == LOCAL_CONTEXT:
        console.print('  eval "$(python3 -m dev.local_cluster env)"', highlight=False)
    elif kubeconfig:
        console.print(f"  export KUBECONFIG={shlex.quote(kubeconfig)}", highlight=False)
    for command in (
        f"kubectl --context {kube.context} get wq -n {namespace} -w",
        f"kubectl --context {kube.context} describe wq -n {namespace} {QUEUE}",
        "make demo-grafana  # Prometheus and Grafana beside it; then `make demo-cluster` once more, to see something",
        "make clean-demo    # removes what the demo made",
    ):
        console.print(f"  {command}", highlight=False, soft_wrap=True)
    titles = ", ".join(json.loads(path.read_text())["title"] for path in sorted(DASHBOARDS.glob("*.json")))
    console.print(f"\nDashboards: {titles}.", highlight=False)
    console.print(f"In a Grafana of yours: Dashboards, New, Import, each file of {DASHBOARDS.relative_to(CHECKOUT)}.")


if __name__ == "__main__":
    sys.exit(main())
