"""Which operators a cluster has, and whose its definition of WorkQueue is; for the demo and the cluster tests.

Rule: no WorkQueue has two operators, and the definition goes only when nothing uses it any more: deleting it deletes
every WorkQueue. While a program of ours runs with the definition of its checkout, no program of another checkout
changes it. What another team installed is never changed.
"""

import argparse
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dev.kube import CHECKOUT, CommandFailed, Kube
from dev.local_cluster.locks import Lock, lock_file, locked, opened

DEFINITION = "workqueues.workqueue.dev"
DEMO_NAMESPACE = "workqueue-demo"
#: Of the cluster tests; each further process of a run has one with its name as a suffix.
TESTS_NAMESPACE = "workqueue-test-system"
#: The namespace in which the tests run the demo's programs, so that a person's demo is left alone.
TESTS_DEMO_NAMESPACE = "workqueue-test-demo"
#: Where this checkout's own programs install an operator; these share one definition.
OURS = (DEMO_NAMESPACE, TESTS_NAMESPACE, TESTS_DEMO_NAMESPACE, "workqueue-bench-system")
#: helm's annotation with the namespace of the release that an object belongs to.
OWNER = "meta.helm.sh/release-namespace"
#: The annotation by which a checkout knows its own definition.
DIGEST = "workqueue.dev/definition-digest"


def is_ours(namespace: str) -> bool:
    """Whether it is a namespace in which a program of a checkout installs an operator."""
    return namespace in OURS or namespace.startswith(f"{TESTS_NAMESPACE}-")


def demo_arguments(description: str | None) -> argparse.Namespace:
    """Those of the demo's programs: in which of our namespaces it is."""
    parser = argparse.ArgumentParser(description=description)
    known = (DEMO_NAMESPACE, TESTS_DEMO_NAMESPACE)
    parser.add_argument("--namespace", choices=known, default=DEMO_NAMESPACE, help=f"default: {DEMO_NAMESPACE}")
    return parser.parse_args()


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


@contextmanager
def alone_in(kube: Kube, namespace: str, use: str) -> Iterator[None]:
    """Hold this namespace for one program of this machine; waits for another program that holds it."""
    with locked(lock_file(f"{kube.context}.{namespace}"), use):
        yield


@contextmanager
def definition_in_use(kube: Kube, use: str) -> "Iterator[DefinitionUse]":
    """The definition stays that of this checkout for as long as the block lasts.

    Programs of one checkout, or of checkouts with the same definition, run side by side. One with another definition
    waits until they have ended, and shows for which. `use`: what this program is, such as "the demo".
    """
    with opened(lock_file(f"{kube.context}.definition"), use) as lock:
        lock.take(shared=True)
        if not is_of_this_checkout(kube):
            lock.take()  # until it is installed; then other programs of this checkout may come
        yield DefinitionUse(kube, lock)


@dataclass(frozen=True)
class DefinitionUse:
    """A program's right to run with the definition of its checkout."""

    kube: Kube
    lock: Lock

    def installed(self) -> None:
        """After a release with definition_settings(): other programs of this checkout need not wait any longer."""
        if self.kube.exists("crd", DEFINITION) and is_ours(_owner(self.kube)):
            self.kube.kubectl("annotate", "crd", DEFINITION, "--overwrite", f"{DIGEST}={digest()}")
        self.lock.take(shared=True)


def is_of_this_checkout(kube: Kube) -> bool:
    """Whether there is nothing to change: it is this checkout's, or another team's, which we never change."""
    if not kube.exists("crd", DEFINITION):
        return False
    annotations = _annotations(kube)
    return not is_ours(annotations.get(OWNER, "")) or annotations.get(DIGEST) == digest()


def digest() -> str:
    """Of what the chart of this checkout makes the definition from."""
    template = CHECKOUT / "charts" / "workqueue-operator" / "templates" / "crd.yaml"
    return hashlib.sha256(template.read_bytes()).hexdigest()[:16]


def definition_settings(kube: Kube) -> list[str]:
    """helm's settings for a release: with the definition, unless another team installed it.

    Our own releases take it over from each other, so that each runs with the definition of this checkout.
    """
    if not kube.exists("crd", DEFINITION):
        return ["--set", "crds.enabled=true"]
    if not is_ours(_owner(kube)):
        return ["--set", "crds.enabled=false"]
    return ["--set", "crds.enabled=true", "--take-ownership"]


def remove_definition(kube: Kube) -> str:
    """After an uninstall: remove the definition if it is ours and nothing uses it; returns what was done and why."""
    with opened(lock_file(f"{kube.context}.definition"), "the removal of the definition") as lock:
        if not lock.taken_alone():
            return "The definition of WorkQueue stays: a demo, a test run or a benchmark on this machine uses it."
        return _remove_unused_definition(kube)


def _remove_unused_definition(kube: Kube) -> str:
    if not kube.exists("crd", DEFINITION):
        return "There is no definition of WorkQueue in it."
    if not is_ours(_owner(kube)):
        return "The definition of WorkQueue stays: another team installed it."
    if left := operators(kube):
        return f"The definition of WorkQueue stays: it is used by the operator {left[0]}."
    if queues := kube.get("workqueues", "--all-namespaces")["items"]:
        first = queues[0]["metadata"]
        return f"The definition of WorkQueue stays: there is a WorkQueue {first['namespace']}/{first['name']}."
    kube.kubectl("delete", "crd", DEFINITION, "--wait", "--timeout=60s")
    return "Removed the definition of WorkQueue, which nothing used any more."


def _owner(kube: Kube) -> str:
    """The namespace of the release that brought the definition; empty when no chart did."""
    return _annotations(kube).get(OWNER, "")


def _annotations(kube: Kube) -> dict[str, str]:
    found: dict[str, str] = kube.get("crd", DEFINITION)["metadata"].get("annotations", {})
    return found
