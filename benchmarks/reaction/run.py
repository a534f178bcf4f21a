"""From a publish to the scaled Deployment, on a real cluster: `make bench-reaction`.

Bursts of tasks go to an empty queue at random moments; a look every 10 ms shows when the Deployment's spec.replicas
became 50. No worker pod is started (the namespace's quota is used up), so that the time is the operator's and the API
server's, not the node's.
"""

import argparse
import base64
import json
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, connect

from dev.kube import Kube, Proxy, image_settings, install_broker
from dev.operators import alone_in, definition_in_use, definition_settings

CHECKOUT = Path(__file__).resolve().parents[2]


SYSTEM = "workqueue-bench-system"
#: A burst is as many messages, and asks for as many workers: from 0 to 50.
REPLICAS = 50
SETTLE_SECONDS = 60.0
#: What the time that is measured may be too long by.
LOOK_SECONDS = 0.01


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bursts", type=int, default=200, help="bursts for each queue type")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    chosen = parser.parse_args()
    kube = Kube(os.environ["KUBE_CONTEXT"])
    with alone_in(kube, SYSTEM, "the benchmark"), installed(kube), kube.proxy() as proxy, forwarded(kube) as port:
        results = [measure(kube, proxy, port, kind, chosen.bursts) for kind in ("Quorum", "Classic")]
    write(chosen.output, results)
    return 0


@contextmanager
def installed(kube: Kube) -> Iterator[None]:
    """An operator and a broker of the benchmark's own."""
    namespace(kube, SYSTEM)
    try:
        install_broker(SYSTEM)
        with definition_in_use(kube, "the benchmark") as definition:
            settings = (*image_settings("operator"), *definition_settings(kube))
            only_here = ("--set", f"watchNamespaces={{{SYSTEM}}}", "--wait", "--timeout", "180s")
            kube.install("bench", "workqueue-operator", SYSTEM, *settings, *only_here)
            definition.installed()
            yield
    finally:
        kube.helm("uninstall", "bench", "-n", SYSTEM, "--ignore-not-found", "--wait")
        kube.kubectl("delete", "namespace", SYSTEM, "--ignore-not-found", "--wait")


def namespace(kube: Kube, name: str) -> None:
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


@contextmanager
def forwarded(kube: Kube) -> Iterator[int]:
    """The broker's AMQP port on loopback."""
    command = ["kubectl", "--context", kube.context, "port-forward", "-n", SYSTEM, "service/rabbitmq", ":5672"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            if not found:
                raise SystemExit(f"kubectl port-forward did not start: {line!r}")
            yield int(found[1])
        finally:
            process.terminate()


def measure(kube: Kube, proxy: Proxy, port: int, queue_type: str, bursts: int) -> dict[str, Any]:
    name = f"bench-{queue_type.lower()}"
    install_target(kube, name, queue_type)
    secret = kube.get("secret", "rabbitmq", "-n", SYSTEM)["data"]
    address = broker_address(secret, port)
    connection = connect(address, ConnectionSettings("bench"))
    channel = connection.channel()
    consume_one_forever(connection, name)
    watch = Watch(proxy, name)
    wait(lambda: watch.replicas == 0, "the Deployment is at 0")
    before, seconds = operator_times(kube, proxy), []
    for number in range(bursts):
        connection.sleep(random.uniform(0.0, 0.4))
        started = time.monotonic()
        for _ in range(REPLICAS):
            channel.basic_publish("", name, b"task")
        wait(lambda: watch.replicas == REPLICAS, "the Deployment is scaled")
        seconds.append(watch.changed_at - started)
        channel.queue_purge(name)
        wait(lambda: watch.replicas == 0, "the Deployment is at 0 again")
        progress(queue_type, number + 1, bursts, seconds)
    after = operator_times(kube, proxy)
    connection.close()
    watch.stop()
    return summary(queue_type, seconds, before, after)


def consume_one_forever(connection: Any, queue: str) -> None:
    """A consumer as a worker would be, always at the same task: 0 ready beside 0 consumers would be no reading."""
    channel = connection.channel()
    channel.basic_qos(prefetch_count=1)
    channel.basic_publish("", queue, b"task")
    taken: list[Any] = []
    channel.basic_consume(queue, lambda *delivery: taken.append(delivery))
    while not taken:
        connection.process_data_events(time_limit=1)


def broker_address(secret: dict[str, str], port: int) -> BrokerAddress:
    values = {key: base64.b64decode(value).decode() for key, value in secret.items()}
    return BrokerAddress.from_secret({**values, "host": "127.0.0.1", "port": str(port)})


def install_target(kube: Kube, name: str, queue_type: str) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-pods", "namespace": SYSTEM}}
    labels = {"app": name}
    container = {"name": "worker", "image": "none.invalid/none"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": SYSTEM},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    workqueue = {
        "apiVersion": "workqueue.dev/v1alpha1",
        "kind": "WorkQueue",
        "metadata": {"name": name, "namespace": SYSTEM},
        "spec": {
            "broker": {"secretName": "rabbitmq"},
            "queue": {"name": name, "type": queue_type},
            "scaleTargetRef": {"name": name},
            "scaling": {
                "maxReplicas": REPLICAS,
                "messagesPerReplica": 1,
                "scaleDown": {"stabilizationWindowSeconds": 0},
            },
        },
    }
    kube.apply({**quota, "spec": {"hard": {"pods": "2"}}}, deployment, workqueue)
    kube.kubectl("wait", "-n", SYSTEM, f"wq/{name}", "--for=condition=QueueObserved", "--timeout=60s")


class Watch:
    """spec.replicas of the Deployment, asked for every hundredth of a second, and when it was last seen to change."""

    def __init__(self, proxy: Proxy, name: str) -> None:
        self._proxy = proxy
        self._path = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/{name}/scale"
        self._stopped = threading.Event()
        self.replicas = -1
        self.changed_at = 0.0
        threading.Thread(target=self._follow, daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _follow(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            text = self._proxy.text(self._path)
            if text is not None:
                self._see(json.loads(text)["spec"].get("replicas", 0))

    def _see(self, replicas: int) -> None:
        if replicas != self.replicas:
            self.changed_at, self.replicas = time.monotonic(), replicas


def wait(fact: Any, what: str) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while not fact():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {SETTLE_SECONDS:.0f} s: {what}")
        time.sleep(0.001)


def operator_times(kube: Kube, proxy: Proxy) -> dict[str, float]:
    pods = kube.get("pods", "-n", SYSTEM, "-l", "app.kubernetes.io/name=workqueue-operator")["items"]
    page = proxy.metrics(SYSTEM, pods[0]["metadata"]["name"], 8080) or {}
    return {name: value for name, value in page.items() if name.endswith(("_seconds_sum", "_seconds_count"))}


def summary(queue_type: str, seconds: list[float], before: dict[str, float], after: dict[str, float]) -> dict[str, Any]:
    def mean(name: str) -> float:
        metric = f"workqueue_operator_{name}"
        count = after[f"{metric}_count"] - before[f"{metric}_count"]
        return (after[f"{metric}_sum"] - before[f"{metric}_sum"]) / count if count else 0.0

    total, scaled = statistics.mean(seconds), mean("reading_to_scale_seconds")
    read, request = mean("read_seconds"), mean("scale_request_seconds")
    return {
        "queue_type": queue_type,
        "bursts": len(seconds),
        "median_s": statistics.median(seconds),
        "p99_s": statistics.quantiles(seconds, n=100)[98],
        "max_s": max(seconds),
        "mean_s": total,
        "mean_wait_for_the_poll_s": max(0.0, total - scaled),
        "mean_broker_s": read,
        "mean_api_s": request,
        "mean_decision_s": max(0.0, scaled - read - request),
    }


def progress(queue_type: str, done: int, of: int, seconds: list[float]) -> None:
    if done % 10 == 0 or done == of:
        print(
            f"{queue_type}: {done}/{of} bursts, median {statistics.median(seconds):.3f} s", file=sys.stderr, flush=True
        )


def write(folder: Path, results: list[dict[str, Any]]) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    stamp = datetime.now(UTC).strftime("%Y-%m-%d")
    (folder / "results.json").write_text(json.dumps({"date": stamp, "results": results}, indent=2) + "\n")
    keys = [key for key in results[0] if key != "queue_type"]
    lines = [f"Publish to scaled, {stamp}", "", f"| queue | {' | '.join(keys)} |", f"|{'---|' * (len(keys) + 1)}"]
    for one in results:
        cells = [f"{one[key]:.3f}" if isinstance(one[key], float) else str(one[key]) for key in keys]
        lines.append(f"| {one['queue_type']} | {' | '.join(cells)} |")
    text = "\n".join(lines) + "\n"
    (folder / "results.md").write_text(text)
    print(text)


if __name__ == "__main__":
    sys.exit(main())
