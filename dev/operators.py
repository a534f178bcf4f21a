"""Which operators a cluster has, and whose its definition of WorkQueue is; for the demo and the cluster tests.

Rule: no WorkQueue has two operators, and the definition goes only when nothing uses it any more: deleting it deletes
every WorkQueue. What somebody else installed is never changed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kube import CommandFailed, Kube

DEFINITION = "workqueues.workqueue.dev"
DEMO_NAMESPACE = "workqueue-demo"
TESTS_NAMESPACE = "workqueue-test-system"
#: Where this checkout's own programs install an operator; these share one definition.
OURS = (DEMO_NAMESPACE, TESTS_NAMESPACE, "workqueue-bench-system")


@dataclass(frozen=True)
class Operator:
    """One Deployment of the operator's chart. `watched`: its namespaces; empty: the whole cluster."""

    namespace: str
    name: str
    watched: frozenset[str]

    def serves(self, namespace: str) -> bool:
        return not self.watched or namespace in self.watched

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}, which serves {', '.join(sorted(self.watched)) or 'the whole cluster'}"


def parse_operators(deployments: Iterable[Mapping[str, Any]]) -> list[Operator]:
    """Those that are not scaled to zero."""
    return [_operator(one) for one in deployments if one["spec"].get("replicas", 1)]


def _operator(deployment: Mapping[str, Any]) -> Operator:
    containers = deployment["spec"]["template"]["spec"]["containers"]  # a mesh may have put one of its own beside ours
    variables = {one["name"]: one.get("value", "") for container in containers for one in container.get("env", [])}
    watched = frozenset(filter(None, variables.get("WATCH_NAMESPACES", "").split(",")))
    return Operator(deployment["metadata"]["namespace"], deployment["metadata"]["name"], watched)


def operators(kube: Kube) -> list[Operator]:
    found = kube.get("deployments", "--all-namespaces", "--selector", "app.kubernetes.io/name=workqueue-operator")
    return parse_operators(found["items"])


def refuse_second_operator(found: Iterable[Operator], own_namespace: str, served: str) -> None:
    """Raises CommandFailed when another operator than that of `own_namespace` would serve the namespace too."""
    for one in found:
        if one.namespace != own_namespace and one.serves(served):
            raise CommandFailed(
                f"this cluster has the operator {one}: two operators would scale the same WorkQueues against each "
                f"other. Use another cluster, or set its watchNamespaces to namespaces without {served}"
            )


def definition_settings(kube: Kube, release: str, namespace: str) -> list[str]:
    """helm's settings for a release in the namespace: with the definition, unless it is somebody else's.

    Our own releases hand it on among themselves, so that each runs with the definition of this checkout.
    """
    if kube.exists("crd", DEFINITION):
        owner = _owner(kube)
        if owner not in OURS:
            return ["--set", "crds.enabled=false"]
        if owner != namespace:
            release_of = (f"meta.helm.sh/release-name={release}", f"meta.helm.sh/release-namespace={namespace}")
            kube.kubectl("annotate", "crd", DEFINITION, "--overwrite", *release_of)
    return ["--set", "crds.enabled=true"]


def remove_definition(kube: Kube) -> str:
    """After an uninstall: remove the definition if it is ours and nothing uses it; says what was done and why."""
    if not kube.exists("crd", DEFINITION):
        return "There is no definition of WorkQueue in it."
    if _owner(kube) not in OURS:
        return "The definition of WorkQueue stays: somebody else installed it."
    if left := operators(kube):
        return f"The definition of WorkQueue stays: it is used by the operator {left[0]}."
    if queues := kube.get("workqueues", "--all-namespaces")["items"]:
        first = queues[0]["metadata"]
        return f"The definition of WorkQueue stays: there is a WorkQueue {first['namespace']}/{first['name']}."
    kube.kubectl("delete", "crd", DEFINITION, "--wait", "--timeout=60s")
    return "Removed the definition of WorkQueue, which nothing used any more."


def _owner(kube: Kube) -> str:
    """The namespace of the release that brought the definition; empty when no chart did."""
    annotations = kube.get("crd", DEFINITION)["metadata"].get("annotations", {})
    return str(annotations.get("meta.helm.sh/release-namespace", ""))
