"""Every set of values that we promise to support gives objects that a Kubernetes API server accepts."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

CHARTS = Path(__file__).parents[2] / "charts"
KUBERNETES = ("1.30", "1.36")  # the oldest one supported, and the one of the cluster tests
#: Kinds of others, which the schemas of Kubernetes do not know.
FOREIGN = {"WorkQueue", "ServiceMonitor", "PodMonitor"}
#: Kinds that have no namespace.
CLUSTER_WIDE = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}

POD_EXTRAS = {
    "podAnnotations": {"example.com/a": "b"},
    "podLabels": {"team": "pictures"},
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}},
    "image": {"repository": "registry.example.com/x", "tag": "7", "pullPolicy": "Never"},
}
OPERATOR = {
    "defaults": {},
    "some namespaces": {"watchNamespaces": ["a", "b"]},
    "no definition": {"crds": {"enabled": False}},
    "definition that goes": {"crds": {"keep": False}},
    "monitored": {"serviceMonitor": {"enabled": True, "additionalLabels": {"release": "prometheus"}}},
    "pod extras": {**POD_EXTRAS, "logFormat": "text", "fullnameOverride": "scaler"},
}
BROKER = {"broker": {"secretName": "rabbitmq"}}
QUEUE = {
    "defaults": {},
    "classic": {"queue": {"name": "hello world/ü", "type": "Classic", "declare": "Never", "deadLetterQueue": "lost"}},
    "bounded": {"queue": {"maxLength": 1_000_000_000, "messageTtlSeconds": 4_294_967, "deliveryLimit": 5}},
    "all of scaling": {
        "mode": "DryRun",
        "scaling": {
            "minReplicas": 1,
            "maxReplicas": 10_000,
            "messagesPerReplica": 1_000_000,
            "drainSeconds": 60,
            "pollPeriodSeconds": 2,
            "scaleUp": {"maxStep": 5},
            "scaleDown": {"stabilizationWindowSeconds": 0},
            "fallback": {"afterSeconds": 30, "replicas": 2},
        },
    },
    "command": {"command": ["convert", "-resize", "10%", "-", "out.png"], "concurrency": 4, "maxAttempts": 2},
    "handler": {"handler": "my_tasks.pictures:shrink", "env": [{"name": "A", "value": "1"}]},
    "monitored": {"podMonitor": {"enabled": True, "additionalLabels": {"release": "prometheus"}}},
    "pod extras": {
        **POD_EXTRAS,
        "volumes": [{"name": "cache", "emptyDir": {}}],
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
        "priorityClassName": "low",
        "serviceAccountName": "pictures",
        "metricsPort": 9000,
        "fullnameOverride": "pictures",
    },
}
MATRIX = [
    *(pytest.param("workqueue-operator", values, id=f"operator: {name}") for name, values in OPERATOR.items()),
    *(pytest.param("workqueue", {**BROKER, **values}, id=f"queue: {name}") for name, values in QUEUE.items()),
]


@pytest.mark.parametrize(("chart", "values"), MATRIX)
def test_objects_are_valid(helm, chart: str, values: dict[str, Any]):
    for item in helm.template(chart, values):
        if item["kind"] not in FOREIGN:
            for version in KUBERNETES:
                kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize(("chart", "values"), MATRIX)
def test_every_object_says_its_namespace_and_whose_it_is(helm, chart: str, values: dict[str, Any]):
    for item in helm.template(chart, values):
        metadata = item["metadata"]
        assert ("namespace" in metadata) == (item["kind"] not in CLUSTER_WIDE), item["kind"]
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "workqueue"
        name = values.get("fullnameOverride", "thumbnails") if chart == "workqueue" else "thumbnails"
        assert metadata["labels"]["app.kubernetes.io/instance"] == name


@pytest.mark.parametrize(("chart", "values"), MATRIX)
def test_lint_is_content(helm, chart: str, values: dict[str, Any]):
    answer = helm.run("lint", "--strict", str(CHARTS / chart), values=values)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize(("chart", "values"), [("workqueue-operator", {}), ("workqueue", BROKER)])
def test_pods_do_not_change_with_the_charts_version(helm, one, chart: str, values: dict[str, Any]):
    deployment = one(helm.template(chart, values), "Deployment")
    version = deployment["metadata"]["labels"]["helm.sh/chart"]
    assert version not in deployment["spec"]["template"]["metadata"]["labels"].values()
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_service_and_monitors_find_their_pods(helm, one):
    operator = helm.template("workqueue-operator", OPERATOR["monitored"])
    service, monitor = one(operator, "Service"), one(operator, "ServiceMonitor")
    pod = one(operator, "Deployment")["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]

    queue = helm.template("workqueue", {**BROKER, **QUEUE["monitored"]})
    pod, monitor = one(queue, "Deployment")["spec"]["template"], one(queue, "PodMonitor")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] in ports
