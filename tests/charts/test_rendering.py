"""Every set of values that we promise to support gives objects that a Kubernetes API server accepts."""

import re
from collections.abc import Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest

from dev.definitions import NoDefinitions, prometheus_operator
from tests.support.foreign_kinds import Definitions
from tests.support.helm import Helm, Manifest, Pick
from tests.support.kubernetes_schemas import problems
from tests.support.rabbitmq_versions import not_installable

CHARTS = Path(__file__).parents[2] / "charts"
#: All that docs/support.md names; of values other than the defaults and everything, the oldest and the newest will do.
KUBERNETES = tuple(f"1.{minor}" for minor in range(30, 38))
#: Kinds of other projects, and all that the schemas of Kubernetes do not know.
FOREIGN = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "GrafanaDashboard"}
UNKNOWN = {"WorkQueue", *FOREIGN}
#: Kinds that have no namespace.
CLUSTER_WIDE = {
    *("CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"),
    *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
}

RULES = {
    "enabled": True,
    "additionalLabels": {"release": "prometheus"},
    "scrapeTimeout": "5s",
    "relabelings": [{"targetLabel": "cluster", "replacement": "blue"}],
    "metricRelabelings": [{"sourceLabels": ["__name__"], "regex": "python_.*", "action": "drop"}],
}
MONITORING = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
ANYWHERE = [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 5432, "protocol": "TCP"}]}]
POD_EXTRAS = {
    "commonLabels": {"example.com/team": "pictures"},
    "podSecurityContext": {"fsGroup": 2000},
    "securityContext": {"runAsUser": 1000},
    "priorityClassName": "low",
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "podAnnotations": {"example.com/a": "b"},
    "podLabels": {"team": "pictures"},
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}},
    "image": {"repository": "registry.example.com/x", "digest": "sha256:" + "4f" * 32, "pullPolicy": "Never"},
}
OPERATOR: dict[str, Manifest] = {
    "defaults": {},
    "some namespaces": {"watchNamespaces": ["a", "b"]},
    "no definition": {"crds": {"enabled": False}},
    "definition that goes": {"crds": {"keep": False}},
    "monitored": {"serviceMonitor": {"enabled": True, "additionalLabels": {"release": "prometheus"}}},
    "pod extras": {**POD_EXTRAS, "logFormat": "text", "fullnameOverride": "scaler"},
}
#: Whatever can be turned on.
OPERATOR["everything"] = {
    **OPERATOR["pod extras"],
    "podPolicy": {"enabled": True},
    "serviceMonitor": RULES,
    "prometheusRule": {"enabled": True, "runbookUrlPattern": "https://docs.example.com/runbooks.md#%s"},
    "networkPolicy": {"enabled": True, "metricsFrom": MONITORING, "extraEgress": ANYWHERE},
    "dashboards": {
        "enabled": True,
        "annotations": {"grafana_folder": "WorkQueue"},
        "runbooksUrl": "https://docs.example.com/runbooks.md",
        "grafanaOperator": {"enabled": True},
    },
    "watchNamespaces": ["a", "b"],
}
BROKER = {"broker": {"secretName": "rabbitmq"}}
BROKER_OF: dict[str, Any] = {"workqueue-operator": {}, "workqueue": BROKER}
QUEUE: dict[str, Manifest] = {
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
    "handler": {"handler": "my_tasks.pictures:resize", "env": [{"name": "A", "value": "1"}]},
    "monitored": {"podMonitor": {"enabled": True, "additionalLabels": {"release": "prometheus"}}},
    "pod extras": {
        **POD_EXTRAS,
        "volumes": [{"name": "cache", "emptyDir": {}}],
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "serviceAccountName": "pictures",
        "metricsPort": 9000,
        "fullnameOverride": "pictures",
    },
}
QUEUE["everything"] = {
    **QUEUE["pod extras"],
    **QUEUE["all of scaling"],
    **QUEUE["bounded"],
    **QUEUE["handler"],
    "podMonitor": RULES,
    "networkPolicy": {
        "enabled": True,
        "metricsFrom": MONITORING,
        "restrictEgress": True,
        "extraEgress": ANYWHERE,
        "operatorNamespace": "workqueue-system",
    },
}
MATRIX = [
    *(pytest.param("workqueue-operator", values, id=f"operator: {name}") for name, values in OPERATOR.items()),
    *(pytest.param("workqueue", {**BROKER, **values}, id=f"queue: {name}") for name, values in QUEUE.items()),
]


@pytest.mark.parametrize(("chart", "values"), MATRIX)
def test_objects_are_valid(helm: Helm, chart: str, values: dict[str, Any], request: pytest.FixtureRequest) -> None:
    whole = request.node.callspec.id.endswith((": defaults", ": everything"))
    for item in helm.template(chart, values, tests=True):
        if item["kind"] not in UNKNOWN:
            for version in KUBERNETES if whole else (KUBERNETES[0], KUBERNETES[-1]):
                assert problems(item, version) == []


@pytest.fixture(scope="module")
def definitions() -> Definitions:
    """Of the foreign kinds; where they cannot be had the test is skipped, or fails in CI."""
    try:
        return Definitions(prometheus_operator())
    except NoDefinitions as problem:
        not_installable(problem)


@pytest.fixture
def foreign(helm: Helm) -> list[dict[str, Any]]:
    """All objects of foreign kinds that the charts can render, with everything turned on."""
    both = (("workqueue-operator", OPERATOR["everything"]), ("workqueue", {**BROKER, **QUEUE["everything"]}))
    rendered = [item for chart, values in both for item in helm.template(chart, values)]
    return [item for item in rendered if item["kind"] in FOREIGN]


@pytest.mark.timeout(300)  # the first time the definitions are downloaded
def test_objects_of_other_projects_are_valid_by_their_definitions(
    foreign: list[Manifest], definitions: Definitions
) -> None:
    assert {item["kind"] for item in foreign} == FOREIGN
    assert [problem for item in foreign for problem in definitions.problems(item)] == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("ServiceMonitor", ("endpoints", 0)),
        ("ServiceMonitor", ("endpoints", 0, "relabelings", 0)),
        ("PodMonitor", ("podMetricsEndpoints", 0)),
        ("PrometheusRule", ("groups", 0, "rules", 0)),
        ("GrafanaDashboard", ()),
        ("GrafanaDashboard", ("configMapRef",)),
    ],
)
def test_a_field_that_a_foreign_definition_does_not_have_is_found(
    foreign: list[Manifest], definitions: Definitions, kind: str, path: Sequence[str | int]
) -> None:
    item = next(item for item in foreign if item["kind"] == kind)
    reduce(getitem, path, item["spec"])["misspelt"] = "30s"
    (problem,) = definitions.problems(item)
    assert "misspelt" in problem


@pytest.mark.parametrize("version", KUBERNETES)
def test_a_field_that_a_version_does_not_know_is_found(helm: Helm, one: Pick, version: str) -> None:
    deployment = one(helm.template("workqueue-operator"), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["immage"] = "x"
    (problem,) = problems(deployment, version)
    assert "immage" in problem


def test_with_everything_turned_on_no_template_is_left_out(helm: Helm) -> None:
    """A new switch belongs into "everything"."""
    for chart, values in (("workqueue-operator", OPERATOR["everything"]), ("workqueue", QUEUE["everything"])):
        answer = helm.run("template", "thumbnails", str(CHARTS / chart), values={**BROKER_OF[chart], **values})
        assert answer.returncode == 0, answer.stderr
        rendered = set(re.findall(r"^# Source: [a-z-]+/templates/(.*)$", answer.stdout, re.MULTILINE))
        there = {
            path.relative_to(CHARTS / chart / "templates") for path in (CHARTS / chart / "templates").rglob("*.yaml")
        }
        assert rendered == {str(path) for path in there}


@pytest.mark.parametrize(("chart", "values"), MATRIX)
def test_every_object_says_its_namespace_and_whose_it_is(helm: Helm, chart: str, values: dict[str, Any]) -> None:
    for item in helm.template(chart, values, tests=True):
        metadata = item["metadata"]
        assert ("namespace" in metadata) == (item["kind"] not in CLUSTER_WIDE), item["kind"]
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "workqueue"
        assert values.get("commonLabels", {}).items() <= metadata["labels"].items()
        name = values.get("fullnameOverride", "thumbnails") if chart == "workqueue" else "thumbnails"
        assert metadata["labels"]["app.kubernetes.io/instance"] == name


@pytest.mark.parametrize(("chart", "values"), MATRIX)
def test_lint_is_content(helm: Helm, chart: str, values: dict[str, Any]) -> None:
    answer = helm.run("lint", "--strict", str(CHARTS / chart), values=values)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize(("chart", "values"), [("workqueue-operator", {}), ("workqueue", BROKER)])
def test_pods_do_not_change_with_the_charts_version(helm: Helm, one: Pick, chart: str, values: dict[str, Any]) -> None:
    deployment = one(helm.template(chart, values), "Deployment")
    version = deployment["metadata"]["labels"]["helm.sh/chart"]
    assert version not in deployment["spec"]["template"]["metadata"]["labels"].values()
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_service_and_monitors_find_their_pods(helm: Helm, one: Pick) -> None:
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
