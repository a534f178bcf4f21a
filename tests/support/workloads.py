"""A Deployment's container as `workqueue-operator local` reads it, and as it starts it."""

from pathlib import Path
from typing import Any

import yaml
from workqueue_operator.cluster.local.launch import Launch, launch
from workqueue_operator.cluster.local.manifests import Source, read
from workqueue_operator.cluster.local.pod_facts import PodFacts
from workqueue_operator.cluster.local.workload import Surroundings, Workload, workload_of
from workqueue_operator.resource import Key

WORKQUEUE = """
apiVersion: workqueue.dev/v1alpha1
kind: WorkQueue
metadata: {name: orders}
spec: {broker: {secretName: rabbitmq}, scaleTargetRef: {name: orders-worker}}
"""
OBJECTS = """
apiVersion: v1
kind: Secret
metadata: {name: rabbitmq}
stringData: {uri: "amqp://in-the-cluster", a.key: secret}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {COLOUR: red}
"""
HERE = Surroundings("/venv/bin/python", {"PATH": "/bin"})
WORKER = ["/venv/bin/python", "-m", "workqueue_worker"]


def workload(container: dict[str, Any], surroundings: Surroundings = HERE, **pod: Any) -> Workload:
    container = {"name": "worker", "image": "workqueue-worker:0.1.0", **container}
    template = {
        "metadata": {"labels": {"app": "orders"}, "annotations": {"team/name": "shop"}},
        "spec": {"containers": [container], **pod},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "orders-worker"},
        "spec": {"selector": {"matchLabels": {"app": "orders"}}, "template": template},
    }
    manifests = read([Source("file", f"{WORKQUEUE}---{OBJECTS}---\n{yaml.safe_dump(deployment)}")], "team")
    return workload_of(manifests.specs[Key("team", "orders")], manifests, surroundings)


def launched(container: dict[str, Any], surroundings: Surroundings = HERE, **pod: Any) -> Launch:
    made = workload(container, surroundings, **pod)
    mounts = {path: Path(f"/state{path}") for path in made.mounts}
    facts = PodFacts(made.key.namespace, "orders-1", "uid-1", made.labels, made.annotations, 23456, mounts)
    return launch(made.containers[0], facts, surroundings)
