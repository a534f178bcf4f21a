"""The API server itself takes every object of both charts, with everything turned on, and finds the pods restricted."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.work import UNSERVED

Program = Callable[..., subprocess.CompletedProcess[str]]

CHARTS = Path(__file__).parents[2] / "charts"
#: Kinds whose definitions are others', which are not installed here.
FOREIGN = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "GrafanaDashboard"}
MONITORING = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
EGRESS = [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 5432, "protocol": "TCP"}]}]
SPREAD = [
    {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app.kubernetes.io/part-of": "workqueue"}},
    }
]
BOTH: dict[str, Any] = {"commonLabels": {"example.com/team": "blue"}, "topologySpreadConstraints": SPREAD}
OPERATOR = {
    **BOTH,
    "watchNamespaces": [UNSERVED],
    "podPolicy": {"enabled": True},
    "dashboards": {"enabled": True},
    "networkPolicy": {"enabled": True, "metricsFrom": MONITORING, "extraEgress": EGRESS},
}
QUEUE = {
    **BOTH,
    "broker": {"secretName": "rabbitmq"},
    "networkPolicy": {"enabled": True, "metricsFrom": MONITORING, "restrictEgress": True, "extraEgress": EGRESS},
}


@pytest.fixture
def restricted(kubectl: Program, unserved_namespace: str) -> Iterator[str]:
    """A namespace whose API server warns of each pod that is not restricted."""
    label = "pod-security.kubernetes.io/warn"
    kubectl("label", "namespace", unserved_namespace, f"{label}=restricted")
    yield unserved_namespace
    kubectl("label", "namespace", unserved_namespace, f"{label}-")


@pytest.mark.parametrize(
    ("chart", "values"),
    [
        ("workqueue-operator", {}),
        ("workqueue-operator", OPERATOR),
        ("workqueue", {"broker": {"secretName": "rabbitmq"}}),
        ("workqueue", QUEUE),
    ],
    ids=["operator: defaults", "operator: everything", "queue: defaults", "queue: everything"],
)
def test_every_object_is_taken(
    helm: Program, kubectl: Program, restricted: str, chart: str, values: dict[str, Any]
) -> None:
    arguments = ("template", "dry", str(CHARTS / chart), "-n", restricted, "--skip-tests", "--values", "-")
    rendered = [one for one in yaml.safe_load_all(helm(*arguments, stdin=json.dumps(values)).stdout) if one]
    ours = [one for one in rendered if one["kind"] not in FOREIGN]
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": ours})
    strict = ("--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "--field-manager=dry-run")
    answer = kubectl("apply", *strict, "-o", "name", "-f", "-", stdin=given)
    assert len(answer.stdout.split()) == len(ours)
    assert "Warning" not in answer.stderr


def test_the_files_of_the_quick_start_are_taken_as_they_are(kubectl: Program, restricted: str) -> None:
    file = str(CHARTS.parent / "examples" / "01-own-handler" / "workqueue.yaml")
    answer = kubectl("apply", "-n", restricted, "--dry-run=server", "--validate=strict", "-o", "name", "-f", file)
    assert answer.stdout.split() == ["workqueue.workqueue.dev/orders", "deployment.apps/orders-worker"]
