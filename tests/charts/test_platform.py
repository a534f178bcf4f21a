"""What a platform team sets on both charts: labels, digests, contexts, priority, monitors, what to select by."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.helm import Helm, Manifest, Pick

DIGEST = "sha256:" + "4f" * 32
CHARTS: dict[str, Manifest] = {"workqueue-operator": {}, "workqueue": {"broker": {"secretName": "rabbitmq"}}}
RULES = {
    "scrapeTimeout": "5s",
    "relabelings": [{"targetLabel": "cluster", "replacement": "blue"}],
    "metricRelabelings": [{"sourceLabels": ["__name__"], "regex": "python_.*", "action": "drop"}],
}


@pytest.fixture(params=CHARTS)
def chart(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def render(helm: Helm, chart: str) -> Callable[[Manifest], list[Manifest]]:
    """The objects of the chart with these values."""
    return lambda values: helm.template(chart, {**CHARTS[chart], **values}, tests=True)


@pytest.fixture
def pod(render: Callable[[Manifest], list[Manifest]], one: Pick) -> Callable[[Manifest], Manifest]:
    """The pod's template with these values."""
    return lambda values: one(render(values), "Deployment")["spec"]["template"]


def test_common_labels_are_on_each_object_and_pod_and_in_no_selector(
    render: Callable[[Manifest], list[Manifest]], one: Pick
) -> None:
    objects = render({"commonLabels": {"team": "blue"}, "podLabels": {"team": "pods"}})
    assert {item["metadata"]["labels"]["team"] for item in objects} == {"blue"}
    deployment = one(objects, "Deployment")
    assert deployment["spec"]["template"]["metadata"]["labels"]["team"] == "pods", "the nearer one wins"
    assert "team" not in str([item["spec"].get("selector") for item in objects if "spec" in item])


def test_a_label_of_one_kind_of_object_takes_the_place_of_the_common_one(helm: Helm, one: Pick) -> None:
    common = {"commonLabels": {"release": "blue"}}
    nearer = {"enabled": True, "additionalLabels": {"release": "prometheus"}}
    dashboards = {"enabled": True, "labels": {"release": "prometheus"}}
    objects = helm.template(
        "workqueue-operator", {**common, "serviceMonitor": nearer, "prometheusRule": nearer, "dashboards": dashboards}
    )
    objects += helm.template("workqueue", {**CHARTS["workqueue"], **common, "podMonitor": nearer})
    found = {item["kind"]: item["metadata"]["labels"]["release"] for item in objects}
    chosen = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap"}
    assert {kind for kind, label in found.items() if label == "prometheus"} == chosen


def test_common_labels_reach_the_pods(pod: Callable[[Manifest], Manifest]) -> None:
    assert pod({"commonLabels": {"team": "blue"}})["metadata"]["labels"]["team"] == "blue"


def test_a_digest_takes_the_place_of_the_tag(pod: Callable[[Manifest], Manifest]) -> None:
    (container,) = pod({"image": {"repository": "example.com/x", "tag": "7", "digest": DIGEST}})["spec"]["containers"]
    assert container["image"] == f"example.com/x@{DIGEST}"
    (container,) = pod({"image": {"repository": "example.com/x", "tag": "7"}})["spec"]["containers"]
    assert container["image"] == "example.com/x:7"
    (container,) = pod({"image": {"repository": "example.com/x", "tag": "7", "digest": None}})["spec"]["containers"]
    assert container["image"] == "example.com/x:7"


def test_security_contexts_can_be_left_to_the_platform(pod: Callable[[Manifest], Manifest]) -> None:
    spec = pod({"podSecurityContext": None, "securityContext": None})["spec"]
    assert "securityContext" not in spec
    assert "securityContext" not in spec["containers"][0]


def test_one_field_of_a_security_context_can_be_set_or_taken_out(pod: Callable[[Manifest], Manifest]) -> None:
    values: dict[str, Any] = {
        "podSecurityContext": {"fsGroup": 2000, "seccompProfile": None},
        "securityContext": {"runAsUser": 1000},
    }
    spec = pod(values)["spec"]
    assert spec["securityContext"] == {"runAsNonRoot": True, "fsGroup": 2000}
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "runAsUser": 1000,
    }


NOTHING = ("podLabels", "podAnnotations", "commonLabels", "nodeSelector", "tolerations", "affinity", "resources")


def test_null_takes_what_is_optional_away(render: Callable[[Manifest], list[Manifest]], one: Pick) -> None:
    """As `--set NAME=null` does: Helm drops the value, also the chart's own."""
    values = dict.fromkeys((*NOTHING, "networkPolicy", "imagePullSecrets", "topologySpreadConstraints"))
    pod = one(render(values), "Deployment")["spec"]["template"]
    assert "resources" not in pod["spec"]["containers"][0]
    assert not {"nodeSelector", "tolerations", "affinity", "imagePullSecrets"} & set(pod["spec"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workqueue", "broker"),
        ("workqueue", "queue"),
        ("workqueue", "scaling"),
        ("workqueue", "image"),
        ("workqueue", "taskTimeoutSeconds"),
        ("workqueue", "tmpSizeLimit"),
        ("workqueue", "podMonitor"),
        ("workqueue-operator", "image"),
        ("workqueue-operator", "crds"),
        ("workqueue-operator", "podPolicy"),
        ("workqueue-operator", "serviceMonitor"),
        ("workqueue-operator", "prometheusRule"),
        ("workqueue-operator", "dashboards"),
    ],
)
def test_null_for_what_is_needed_is_refused_by_its_name(helm: Helm, name: str, value: str) -> None:
    """Without the schema's word the error would be a place in a template, and a nil pointer there."""
    assert f"missing property '{value}'" in helm.refusal(name, {**CHARTS[name], value: None})


def test_priority_and_spread(pod: Callable[[Manifest], Manifest]) -> None:
    spread = [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}]
    spec = pod({"priorityClassName": "high", "topologySpreadConstraints": spread})["spec"]
    assert spec["priorityClassName"] == "high"
    assert spec["topologySpreadConstraints"] == spread


def test_monitors_take_relabelings_and_a_timeout(helm: Helm, one: Pick) -> None:
    monitored = helm.template("workqueue-operator", {"serviceMonitor": {"enabled": True, **RULES}})
    (endpoint,) = one(monitored, "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint == {"port": "metrics", "interval": "15s", "honorLabels": True, **RULES}
    monitored = helm.template("workqueue", {**CHARTS["workqueue"], "podMonitor": {"enabled": True, **RULES}})
    (endpoint,) = one(monitored, "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint == {"port": "metrics", "interval": "15s", **RULES}


def test_workqueues_can_be_selected_by_what_people_look_for(helm: Helm, one: Pick) -> None:
    (version,) = one(helm.template("workqueue-operator"), "CustomResourceDefinition")["spec"]["versions"]
    fields = [field["jsonPath"] for field in version["selectableFields"]]
    assert fields == [".spec.mode", ".spec.broker.secretName", ".spec.scaleTargetRef.name"]
    for path in fields:
        schema = version["schema"]["openAPIV3Schema"]
        for name in path.split(".")[1:]:
            schema = schema["properties"][name]
        assert schema["type"] == "string", path
