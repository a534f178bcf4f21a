"""Kubernetes as the Cluster port: which request each of its methods makes. The requests go through kubernetes_api."""

import base64
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from workqueue_operator import web
from workqueue_operator.cluster import worker_page
from workqueue_operator.cluster.kubernetes_api import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, KubernetesApi, Query, path
from workqueue_operator.cluster.kubernetes_values import (
    DELETION_COST,
    FIELD_MANAGER,
    autoscaled_of,
    is_of_a_deployment,
    pod_of,
    target_of,
    workqueue_of,
)
from workqueue_operator.cluster.port import (
    ClusterError,
    ClusterUnavailable,
    Conflict,
    Listing,
    NotFound,
    Notice,
    Pod,
    Rejected,
    Target,
)
from workqueue_operator.cluster.slots import Slots
from workqueue_operator.resource import GROUP, KIND, PLURAL, VERSION, Key

#: A worker that does not answer in this time is taken as busy.
ASK_TIMEOUT_SECONDS = 1.0
#: Workers asked at once, of all namespaces. The wait for a slot is outside of a worker's second.
WORKERS_ASKED_AT_ONCE = 200
#: Seconds for which one list of a namespace's HorizontalPodAutoscalers serves all WorkQueues in it.
AUTOSCALERS_SECONDS = 5.0
#: Seconds in which an Event of the same reason is counted up instead of posted again.
EVENT_AGGREGATION_SECONDS = 600.0

#: Our name in Events, and in the managedFields of what we write.
COMPONENT = FIELD_MANAGER
SCALE = {"apiVersion": "autoscaling/v1", "kind": "Scale"}


class KubernetesCluster:
    """The Cluster port on a Kubernetes API server."""

    def __init__(self, api: KubernetesApi, session: web.Session, namespaces: Sequence[str] = ()) -> None:
        self._api = api
        #: Those watched; none: the whole cluster.
        self._namespaces = tuple(namespaces)
        self._session = session
        self._asking = Slots(WORKERS_ASKED_AT_ONCE)
        self._posted: dict[tuple[str, str], _PostedEvent] = {}
        #: By namespace: when they were listed, and each one's name by its Deployment's.
        self._autoscalers: dict[str, tuple[float, dict[str, str]]] = {}

    async def list_workqueues(self) -> Listing:
        """The WorkQueues of the watched namespaces; a namespace that cannot be listed costs no other."""
        return {place: await self._list_place(place) for place in self._namespaces or ("",)}

    async def read_workqueue(self, key: Key) -> Mapping[str, Any]:
        """The custom resource's body."""
        return await self._api.call("GET", _workqueue_path(key), dict)

    async def read_secret(self, key: Key) -> Mapping[str, str]:
        """The decoded keys of a Secret; one that is no UTF-8 text is left out."""
        return await self._api.call(
            "GET", path("api", "v1", "namespaces", key.namespace, "secrets", key.name), _secret_of
        )

    async def read_target(self, key: Key) -> Target:
        """The Deployment."""
        return await self._api.call("GET", _deployment_path(key), target_of)

    async def read_pods(self, target: Target) -> Sequence[Pod]:
        """The Deployment's pods, terminating and finished ones too."""
        if not target.selector:  # the API server takes no such Deployment; a list would be of every pod there
            raise ClusterUnavailable(f"Deployment {target.key}: spec.selector is empty, it chooses no pods")
        return await self._api.list(_pods_path(target.key.namespace), _worker_of, [("labelSelector", target.selector)])

    async def find_autoscaler(self, target: Key) -> str | None:
        """The first HorizontalPodAutoscaler whose scaleTargetRef is the Deployment; KEDA's are among them."""
        listed_at, autoscalers = self._autoscalers.get(target.namespace, (float("-inf"), {}))
        now = time.monotonic()
        if now - listed_at >= AUTOSCALERS_SECONDS:
            where = path("apis", "autoscaling", "v2", "namespaces", target.namespace, "horizontalpodautoscalers")
            autoscalers = dict(await self._api.list(where, autoscaled_of))
            fresh = {name: it for name, it in self._autoscalers.items() if now - it[0] < AUTOSCALERS_SECONDS}
            self._autoscalers = {**fresh, target.namespace: (now, autoscalers)}
        return autoscalers.get(target.name)

    async def set_deletion_cost(self, namespace: str, pod: str, cost: int | None) -> None:
        """Set the pod's deletion cost, or take it away."""
        value = None if cost is None else str(cost)
        body = {"metadata": {"annotations": {DELETION_COST: value}}}
        await self._api.call("PATCH", _pods_path(namespace, pod), _ignored, body=body, content_type=MERGE_PATCH)

    async def set_replicas(self, target: Target, replicas: int) -> Target:
        """Scale, on condition that the replicas are still those of `target`; the size has our name then."""
        if 0 in (target.replicas, replicas) or not target.sized_by:
            return await self._apply_scale(target, replicas)
        body = [
            {"op": "test", "path": "/spec/replicas", "value": target.replicas},
            {"op": "replace", "path": "/spec/replicas", "value": replicas},
        ]
        try:
            return await self._scale(target, body, JSON_PATCH)
        except Rejected as error:  # by a failed test of the patch, or by an admission webhook: see the size
            if (await self.read_target(target.key)).replicas == target.replicas:
                raise
            raise Conflict(str(error)) from error

    async def write_status(self, key: Key, status: Mapping[str, Any]) -> None:
        """Merge into the WorkQueue's status."""
        where, body = _workqueue_path(key) + "/status", {"status": dict(status)}
        await self._api.call("PATCH", where, _ignored, body=body, content_type=MERGE_PATCH)

    async def post_event(self, key: Key, uid: str, notice: Notice) -> None:
        """Post an Event, or count up the one of the same reason that is less than ten minutes old."""
        now = time.time()
        self._forget_posted(now)
        posted = self._posted.get((uid, notice.reason))
        if posted is None or not await self._count_up(key, notice, posted, now):
            name = f"{key.name[:200]}.{secrets.token_hex(8)}"
            await self._api.call("POST", _events_path(key), _ignored, body=_event(key, uid, notice, name, now))
            self._posted.pop((uid, notice.reason), None)
            self._posted[uid, notice.reason] = _PostedEvent(name, now)

    async def ask_tasks_in_progress(self, pod: Pod, port: int) -> int | None:
        """The worker's own gauge, from its metrics page."""
        if pod.ip is None:
            return None
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        async with self._asking.of(pod.namespace):
            page = await web.fetch_page(self._session, f"http://{host}:{port}/metrics", ASK_TIMEOUT_SECONDS)
        return None if page is None else worker_page.tasks_in_progress(page)

    def _forget_posted(self, now: float) -> None:
        """The Events that are no longer counted up; the oldest come first."""
        while self._posted and not next(iter(self._posted.values())).is_fresh(now):
            del self._posted[next(iter(self._posted))]

    async def _count_up(self, key: Key, notice: Notice, posted: "_PostedEvent", now: float) -> bool:
        posted.count += 1
        body = {"count": posted.count, "message": notice.message, "lastTimestamp": _timestamp(now)}
        try:
            await self._api.call("PATCH", _events_path(key, posted.name), _ignored, body=body, content_type=MERGE_PATCH)
        except NotFound:  # the API server forgets Events after an hour
            return False
        return True

    async def _list_place(self, place: str) -> Sequence[Mapping[str, Any]] | ClusterError:
        where = ("namespaces", place) if place else ()
        try:
            return await self._api.list(path("apis", GROUP, VERSION, *where, PLURAL), workqueue_of)
        except ClusterError as error:
            return error

    async def _apply_scale(self, target: Target, replicas: int) -> Target:
        """Where a patch of the number is not enough, on condition that the whole Deployment is as in `target`.

        A Scale leaves a zero out, so that there is nothing to test. A patch to 0 leaves no name in managedFields, and
        neither does a patch of spec.replicas while that has no manager.
        """
        version = {"resourceVersion": str(target.resource_version)}
        body = {**SCALE, "metadata": version, "spec": {"replicas": replicas}}
        return await self._scale(target, body, APPLY_PATCH, [("force", "true")])

    async def _scale(self, target: Target, body: Any, content_type: str, query: Query = ()) -> Target:
        where, parse = _deployment_path(target.key) + "/scale", partial(_scaled, target)
        return await self._api.call("PATCH", where, parse, body=body, query=query, content_type=content_type)


class _PostedEvent:
    """An Event that may be counted up."""

    def __init__(self, name: str, first: float) -> None:
        self.name = name
        self.count = 1
        self._first = first

    def is_fresh(self, now: float) -> bool:
        return 0 <= now - self._first < EVENT_AGGREGATION_SECONDS


def _scaled(target: Target, scale: Mapping[str, Any]) -> Target:
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    version = int(scale["metadata"]["resourceVersion"])
    return replace(target, replicas=replicas, resource_version=version, sized_by=FIELD_MANAGER)


def _event(key: Key, uid: str, notice: Notice, name: str, now: float) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "namespace": key.namespace,
            "name": key.name,
            "uid": uid,
        },
        "reason": notice.reason,
        "message": notice.message[:1024],  # the API server's limit
        "type": notice.type,
        "count": 1,
        "firstTimestamp": _timestamp(now),
        "lastTimestamp": _timestamp(now),
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": os.environ.get("HOSTNAME", COMPONENT),
    }


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _secret_of(secret: Mapping[str, Any]) -> Mapping[str, str]:
    decoded = {name: _decoded(value) for name, value in (secret.get("data") or {}).items()}
    return {name: value for name, value in decoded.items() if value is not None}


def _decoded(value: str) -> str | None:
    try:
        return base64.b64decode(value).decode()
    except UnicodeDecodeError:  # a keystore, say; nothing that names a broker
        return None


def _worker_of(pod: Mapping[str, Any]) -> Pod | None:
    return pod_of(pod) if is_of_a_deployment(pod) else None


def _ignored(_: object) -> None:
    """What the API server answers to a write is what was written."""


def _pods_path(namespace: str, *pod: str) -> str:
    return path("api", "v1", "namespaces", namespace, "pods", *pod)


def _events_path(key: Key, *name: str) -> str:
    return path("api", "v1", "namespaces", key.namespace, "events", *name)


def _deployment_path(key: Key) -> str:
    return path("apis", "apps", "v1", "namespaces", key.namespace, "deployments", key.name)


def _workqueue_path(key: Key) -> str:
    return path("apis", GROUP, VERSION, "namespaces", key.namespace, PLURAL, key.name)
