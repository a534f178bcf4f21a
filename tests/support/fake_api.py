"""An API server on loopback as far as the operator's lists and kopf's watches go. Namespaces can be refused."""

import json
from dataclasses import dataclass, field
from typing import Any

from workqueue_operator.resource import GROUP, PLURAL, VERSION

KINDS = {
    "/api/v1": [("namespaces", "Namespace", False)],
    "/apis/apps/v1": [("deployments", "Deployment", True)],
    "/apis/apiextensions.k8s.io/v1": [("customresourcedefinitions", "CustomResourceDefinition", False)],
    f"/apis/{GROUP}/{VERSION}": [(PLURAL, "WorkQueue", True)],
}
#: What a list or an event says of the API server's state; kopf only hands it back.
STATE = "7"


@dataclass
class FakeApi:
    """Answers for HttpServer. May be changed at any time."""

    #: Namespaces in which the operator has no rights, as after their deletion.
    refused: set[str] = field(default_factory=set)
    #: By namespace, what a list has.
    workqueues: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    deployments: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    #: By namespace, events that no list shows; each watch of WorkQueues that is opened brings all of them.
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def __call__(self, path: str) -> tuple[int, str]:
        where, _, query = path.partition("?")
        if where in ("/api", "/apis") or where in KINDS:
            return 200, json.dumps(_discovered(where))
        if "/namespaces/" not in where:
            return 404, json.dumps({"kind": "Status", "message": "the server could not find the requested resource"})
        namespace, plural = where.split("/namespaces/")[1].split("/")[:2]
        if namespace in self.refused:
            return 403, json.dumps({"kind": "Status", "code": 403, "message": f"no rights in {namespace}"})
        if "watch=true" in query:
            seen = self.events.get(namespace, []) if plural == PLURAL else []
            return 200, "".join(f"{json.dumps(event)}\n" for event in seen)
        items = (self.workqueues if plural == PLURAL else self.deployments).get(namespace, [])
        return 200, json.dumps({"metadata": {"resourceVersion": STATE}, "items": items})


def workqueue(namespace: str, name: str) -> dict[str, Any]:
    """A WorkQueue's body."""
    metadata = {"namespace": namespace, "name": name, "uid": f"{namespace}-{name}", "generation": 1}
    spec = {"broker": {"secretName": "rabbitmq"}, "scaleTargetRef": {"name": f"{name}-worker"}}
    return {"metadata": {**metadata, "resourceVersion": STATE}, "spec": spec}


def deployment(namespace: str, name: str) -> dict[str, Any]:
    """A Deployment's body."""
    metadata = {"namespace": namespace, "name": name, "uid": f"{namespace}-{name}", "resourceVersion": STATE}
    return {"metadata": metadata, "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}}}


def _discovered(where: str) -> dict[str, Any]:
    if where == "/api":
        return {"versions": ["v1"]}
    if where == "/apis":
        named = [path.split("/")[2:] for path in KINDS if path.startswith("/apis/")]
        versions = [(group, {"version": version}) for group, version in named]
        return {"groups": [{"name": name, "versions": [one], "preferredVersion": one} for name, one in versions]}
    verbs = ["get", "list", "watch"]
    return {
        "resources": [
            {"name": name, "kind": kind, "singularName": kind.lower(), "namespaced": namespaced, "verbs": verbs}
            for name, kind, namespaced in KINDS[where]
        ]
    }
