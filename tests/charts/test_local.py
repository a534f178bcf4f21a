"""`workqueue-operator local` takes what `helm template charts/workqueue` prints."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from workqueue_operator.cluster.local.launch import Launch, launch
from workqueue_operator.cluster.local.manifests import Manifests, Source, read
from workqueue_operator.cluster.local.pod_facts import PodFacts
from workqueue_operator.cluster.local.workload import Surroundings, workload_of
from workqueue_operator.resource import Key

from tests.support.helm import Helm

HERE = Surroundings("/venv/bin/python", {"PATH": "/bin"})
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: rabbitmq, namespace: demo}\nstringData: {uri: 'amqp://here'}\n"
MOUNTED = Path("/state/broker")


def rendered(helm: Helm, **values: Any) -> Manifests:
    objects = helm.template("workqueue", {"broker": {"secretName": "rabbitmq"}, **values}, tests=True)
    return read([Source("helm", yaml.safe_dump_all(objects)), Source("secret", SECRET)], "default")


def launched(manifests: Manifests) -> Launch:
    (spec,) = manifests.specs.values()
    workload = workload_of(spec, manifests, HERE)
    assert dict(workload.mounts) == {"/etc/workqueue/broker": {"uri": b"amqp://here"}}
    mounts = {"/etc/workqueue/broker": MOUNTED}
    pod = PodFacts("demo", "thumbnails-worker-1", "uid", workload.labels, workload.annotations, 23456, mounts)
    return launch(workload.containers[0], pod, HERE)


def test_the_charts_worker_is_the_installed_one_with_the_queue_the_broker_and_a_port_of_its_own(helm: Helm) -> None:
    found = launched(rendered(helm, handler="my_tasks:handle"))
    assert found.command == ["/venv/bin/python", "-m", "workqueue_worker"]
    wanted = {
        "AMQP_SECRET_DIR": str(MOUNTED),
        "QUEUE_NAME": "thumbnails",
        "WORKER_HANDLER": "my_tasks:handle",
        "METRICS_PORT": "23456",
    }
    assert wanted.items() <= dict(found.environment).items()


def test_a_program_of_the_charts_values_is_run_for_each_task(helm: Helm) -> None:
    found = launched(rendered(helm, command=["convert", "-"]))
    assert found.command == ["/venv/bin/python", "-m", "workqueue_worker", "--", "convert", "-"]


@pytest.mark.parametrize("kind", ["PodMonitor", "NetworkPolicy", "Pod"])
def test_what_else_the_chart_makes_is_skipped_with_a_line(helm: Helm, kind: str) -> None:
    network = {"enabled": True, "metricsFrom": [{"podSelector": {}}]}
    manifests = rendered(helm, podMonitor={"enabled": True}, networkPolicy=network)
    assert any(line.startswith(f"{kind} thumbnails") and "skipped" in line for line in manifests.skipped)
    assert list(manifests.workqueues) == [Key("demo", "thumbnails")]
