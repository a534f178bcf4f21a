"""NetworkPolicies: off by default; what is let through is what operator and workers use, as their own manifests say it.

Whether a connection is let through is worked out here by the rules of the NetworkPolicy API. A network plugin that
enforces policies is no part of the local cluster.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.helm import Helm, Manifest, Pick

BROKER = {"broker": {"secretName": "rabbitmq"}}
MONITORING = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
ON = {"networkPolicy": {"enabled": True}}


@dataclass(frozen=True)
class Peer:
    """A pod somewhere, with its labels."""

    namespace: str
    labels: dict[str, str]


def chosen(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector matches."""
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(
        labels.get(one["key"]) in one["values"]
        for one in selector.get("matchExpressions", [])
        if one["operator"] == "In"
    )


def is_peer(rule: dict[str, Any], peer: Peer, home: str) -> bool:
    """A podSelector alone is about the policy's own namespace."""
    names = {"kubernetes.io/metadata.name": peer.namespace}
    in_namespace = chosen(rule["namespaceSelector"], names) if "namespaceSelector" in rule else peer.namespace == home
    return in_namespace and chosen(rule.get("podSelector", {}), peer.labels)


def allows(policy: dict[str, Any], direction: str, peer: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether the policy of the namespace demo lets a connection through."""
    spec, side = policy["spec"], {"Ingress": "from", "Egress": "to"}[direction]
    if direction not in spec["policyTypes"]:
        return True
    return any(
        {"port": port, "protocol": protocol} in rule["ports"]
        and (side not in rule or any(is_peer(one, peer, "demo") for one in rule[side]))
        for rule in spec[direction.lower()]
    )


def labels_of(deployment: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = deployment["spec"]["template"]["metadata"]["labels"]
    return found


#: Policy and Deployment of an install with these values.
Render = Callable[[Manifest], tuple[Manifest, Manifest]]


@pytest.fixture
def operator(helm: Helm, one: Pick) -> Render:
    """The policy and the Deployment of the operator's chart."""

    def render(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        objects = helm.template("workqueue-operator", values)
        return one(objects, "NetworkPolicy"), one(objects, "Deployment")

    return render


@pytest.fixture
def workers(helm: Helm, one: Pick) -> Render:
    """The policy and the Deployment of the queue's chart."""

    def render(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        objects = helm.template("workqueue", {**BROKER, **values}, release="jobs")
        return one(objects, "NetworkPolicy"), one(objects, "Deployment")

    return render


def test_there_is_none_unless_asked_for(helm: Helm) -> None:
    for chart, values in (("workqueue-operator", {}), ("workqueue", BROKER)):
        assert "NetworkPolicy" not in {item["kind"] for item in helm.template(chart, values)}


def test_they_are_about_the_charts_own_pods(operator: Render, workers: Render) -> None:
    for policy, deployment in (operator(ON), workers(ON)):
        assert chosen(policy["spec"]["podSelector"], labels_of(deployment))
        assert policy["spec"]["podSelector"] == deployment["spec"]["selector"]


def test_the_operator_reaches_what_it_uses_and_nothing_else(operator: Render) -> None:
    policy, _ = operator(ON)
    anyone = Peer("elsewhere", {})
    for port in (443, 6443, 5672, 5671, 15672, 15671, 53):
        assert allows(policy, "Egress", anyone, port), port
    assert allows(policy, "Egress", anyone, 53, "UDP")
    assert not allows(policy, "Egress", anyone, 80)
    assert not allows(policy, "Egress", anyone, 5672, "UDP")


def test_the_operator_reaches_the_workers_where_it_serves(operator: Render, workers: Render) -> None:
    _, deployment = workers(ON)
    worker = labels_of(deployment)
    assert allows(operator(ON)[0], "Egress", Peer("anywhere", worker), 8000)
    policy, _ = operator({**ON, "watchNamespaces": ["blue", "green"]})
    assert allows(policy, "Egress", Peer("blue", worker), 8000)
    assert not allows(policy, "Egress", Peer("red", worker), 8000)


def test_the_operators_page_is_for_those_who_are_named(operator: Render) -> None:
    closed, _ = operator(ON)
    opened, _ = operator(
        {"networkPolicy": {"enabled": True, "metricsFrom": MONITORING}, "serviceMonitor": {"enabled": True}}
    )
    prometheus = Peer("monitoring", {"app": "prometheus"})
    assert not allows(closed, "Ingress", prometheus, 8080)
    assert allows(opened, "Ingress", prometheus, 8080)
    assert not allows(opened, "Ingress", Peer("demo", {}), 8080)


@pytest.mark.parametrize("namespace", ["", "workqueue-system"])
def test_workers_answer_the_operator_and_those_who_are_named(operator: Render, workers: Render, namespace: str) -> None:
    asking = labels_of(operator(ON)[1])
    policy, _ = workers(
        {
            "networkPolicy": {"enabled": True, "operatorNamespace": namespace, "metricsFrom": MONITORING},
            "metricsPort": 9000,
        }
    )
    assert allows(policy, "Ingress", Peer("workqueue-system", asking), 9000)
    assert allows(policy, "Ingress", Peer("elsewhere", asking), 9000) == (not namespace)
    assert allows(policy, "Ingress", Peer("monitoring", {}), 9000)
    assert not allows(policy, "Ingress", Peer("demo", {"app": "another"}), 9000)
    assert not allows(policy, "Ingress", Peer("workqueue-system", asking), 8000)


def test_workers_may_connect_anywhere_unless_that_is_restricted(workers: Render) -> None:
    anyone = Peer("elsewhere", {})
    assert allows(workers(ON)[0], "Egress", anyone, 5432)
    database = {"to": [{"namespaceSelector": {}}], "ports": [{"port": 5432, "protocol": "TCP"}]}
    policy, _ = workers({"networkPolicy": {"enabled": True, "restrictEgress": True, "extraEgress": [database]}})
    assert not allows(policy, "Egress", anyone, 80)
    for port in (53, 5672, 5671, 15672, 15671, 5432):
        assert allows(policy, "Egress", anyone, port), port


def test_the_pods_of_helm_test_are_let_through_and_found_by_no_selector(helm: Helm, one: Pick) -> None:
    for chart, values in (("workqueue-operator", ON), ("workqueue", {**BROKER, **ON})):
        objects = helm.template(chart, values, tests=True)
        policy, deployment, pod = (one(objects, kind) for kind in ("NetworkPolicy", "Deployment", "Pod"))
        port = deployment["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"]
        assert allows(policy, "Ingress", Peer("demo", pod["metadata"]["labels"]), port)
        assert not chosen(deployment["spec"]["selector"], pod["metadata"]["labels"])
