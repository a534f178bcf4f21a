"""Kubernetes as the Cluster port: the only importer of the kubernetes client.

Requests go through the client's own transport (login, TLS, token rotation) and stay dictionaries until they are
parsed here, as its generated models cost more than the call for every pod that is listed.
"""

import asyncio
import base64
import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp  # only for the exceptions that the client's transport raises
from kubernetes.aio import client, config

from workqueue_operator import web
from workqueue_operator.cluster import (
    ClusterError,
    ClusterUnavailable,
    Conflict,
    Forbidden,
    NotFound,
    Notice,
    Pod,
    Target,
)
from workqueue_operator.kubernetes_values import DELETION_COST, autoscalers_of, is_of_a_deployment, pod_of, target_of
from workqueue_operator.resource import GROUP, KIND, PLURAL, VERSION, Key

REQUEST_TIMEOUT_SECONDS = 10.0
#: A worker that does not tell in this time is taken as busy.
ASK_TIMEOUT_SECONDS = 1.0
#: Requests under way at once; a cluster's API server is shared with others.
CONCURRENT_REQUESTS = 16
#: Workers asked at once. The wait for a turn is outside of a worker's second, which is the worker's alone.
WORKERS_ASKED_AT_ONCE = 200
#: Seconds for which one list of a namespace's HorizontalPodAutoscalers serves all WorkQueues in it.
AUTOSCALERS_SECONDS = 5.0
#: Seconds in which an Event of the same reason is counted up instead of posted anew.
EVENT_AGGREGATION_SECONDS = 600.0

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
COMPONENT = "workqueue-operator"


class KubernetesCluster:
    """The Cluster port on a Kubernetes API server."""

    def __init__(self, api_client: client.ApiClient, session: web.Session, namespaces: Sequence[str] = ()) -> None:
        self._client = api_client
        #: Those watched; none: the whole cluster.
        self._namespaces = tuple(namespaces)
        self._session = session
        self._slots = asyncio.Semaphore(CONCURRENT_REQUESTS)
        self._turns = asyncio.Semaphore(WORKERS_ASKED_AT_ONCE)
        self._posted: dict[tuple[str, str], _PostedEvent] = {}
        #: By namespace: when they were listed, and each one's name by its Deployment's.
        self._autoscalers: dict[str, tuple[float, dict[str, str]]] = {}

    async def list_workqueues(self) -> Sequence[Mapping[str, Any]]:
        """The bodies of all WorkQueues in the watched namespaces; NotFound where the API server knows no such kind."""
        bodies: list[Mapping[str, Any]] = []
        for where in [f"/namespaces/{name}" for name in self._namespaces] or [""]:
            bodies += (await self._call("GET", f"/apis/{GROUP}/{VERSION}{where}/{PLURAL}"))["items"]
        return bodies

    async def read_workqueue(self, key: Key) -> Mapping[str, Any]:
        """The custom resource's body."""
        return await self._call("GET", _workqueue_path(key))

    async def read_secret(self, key: Key) -> Mapping[str, str]:
        """The decoded keys of a Secret; one that is no UTF-8 text is left out."""
        secret = await self._call("GET", f"/api/v1/namespaces/{key.namespace}/secrets/{key.name}")
        decoded = {name: _decoded(value) for name, value in (secret.get("data") or {}).items()}
        return {name: value for name, value in decoded.items() if value is not None}

    async def read_target(self, key: Key) -> Target:
        """The Deployment."""
        return target_of(await self._call("GET", _deployment_path(key)))

    async def read_pods(self, target: Target) -> Sequence[Pod]:
        """The Deployment's pods, those that terminate or are finished too."""
        if not target.selector:  # the API server takes no such Deployment; a list would be of every pod there
            raise ClusterUnavailable(f"Deployment {target.key}: spec.selector is empty, it chooses no pods")
        path = f"/api/v1/namespaces/{target.key.namespace}/pods"
        pods = await self._call("GET", path, query=[("labelSelector", target.selector)])
        return [pod_of(item) for item in pods["items"] if is_of_a_deployment(item)]

    async def find_autoscaler(self, target: Key) -> str | None:
        """The first HorizontalPodAutoscaler whose scaleTargetRef is the Deployment; KEDA's are among them."""
        listed_at, autoscalers = self._autoscalers.get(target.namespace, (float("-inf"), {}))
        now = time.monotonic()
        if now - listed_at >= AUTOSCALERS_SECONDS:
            path = f"/apis/autoscaling/v2/namespaces/{target.namespace}/horizontalpodautoscalers"
            autoscalers = autoscalers_of((await self._call("GET", path))["items"])
            self._autoscalers[target.namespace] = (now, autoscalers)
        return autoscalers.get(target.name)

    async def set_deletion_cost(self, namespace: str, pod: str, cost: int | None) -> None:
        """Set the pod's deletion cost, or take it away."""
        value = None if cost is None else str(cost)
        body = {"metadata": {"annotations": {DELETION_COST: value}}}
        await self._call("PATCH", f"/api/v1/namespaces/{namespace}/pods/{pod}", body=body, content_type=MERGE_PATCH)

    async def set_replicas(self, target: Target, replicas: int) -> Target:
        """Scale, on condition that the replicas are still those of `target`."""
        body = [
            {"op": "test", "path": "/spec/replicas", "value": target.replicas},
            {"op": "replace", "path": "/spec/replicas", "value": replicas},
        ]
        if target.replicas == 0:  # a Scale leaves a zero out, so that there is nothing to test or replace
            version = str(target.resource_version)
            body = [
                {"op": "test", "path": "/metadata/resourceVersion", "value": version},
                {"op": "add", "path": "/spec/replicas", "value": replicas},
            ]
        scale = await self._call("PATCH", f"{_deployment_path(target.key)}/scale", body=body, content_type=JSON_PATCH)
        return _scaled(target, scale)

    async def write_status(self, key: Key, status: Mapping[str, Any]) -> None:
        """Merge into the WorkQueue's status."""
        path = f"{_workqueue_path(key)}/status"
        await self._call("PATCH", path, body={"status": dict(status)}, content_type=MERGE_PATCH)

    async def post_event(self, key: Key, uid: str, notice: Notice) -> None:
        """Post an Event, or count up the one of the same reason that is less than ten minutes old."""
        now = time.time()
        self._posted = {key: event for key, event in self._posted.items() if event.is_fresh(now)}
        posted = self._posted.get((uid, notice.reason))
        if posted is None or not await self._count_up(key, notice, posted, now):
            name = f"{key.name[:200]}.{secrets.token_hex(8)}"
            path = f"/api/v1/namespaces/{key.namespace}/events"
            await self._call("POST", path, body=_event(key, uid, notice, name, now))
            self._posted[uid, notice.reason] = _PostedEvent(name, now)

    async def ask_tasks_in_progress(self, pod: Pod, port: int) -> int | None:
        """The worker's own gauge, from its metrics page."""
        if pod.ip is None:
            return None
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        async with self._turns:
            page = await web.fetch_text(self._session, f"http://{host}:{port}/metrics", ASK_TIMEOUT_SECONDS)
        return None if page is None else web.tasks_in_progress(page)

    async def _count_up(self, key: Key, notice: Notice, posted: "_PostedEvent", now: float) -> bool:
        path = f"/api/v1/namespaces/{key.namespace}/events/{posted.name}"
        posted.count += 1
        body = {"count": posted.count, "message": notice.message, "lastTimestamp": _timestamp(now)}
        try:
            await self._call("PATCH", path, body=body, content_type=MERGE_PATCH)
        except NotFound:  # the API server forgets Events after an hour
            return False
        return True

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Sequence[tuple[str, str]] = (),
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        async with self._slots:
            try:
                request = await self._client.param_serialize(
                    method,
                    path,
                    query_params=list(query),
                    header_params=headers,
                    body=body,
                    auth_settings=["BearerToken"],
                )
                response = await self._client.call_api(*request, _request_timeout=REQUEST_TIMEOUT_SECONDS)
                text = await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise ClusterUnavailable(f"{method} {path}: {error or type(error).__name__}") from error
        if not 200 <= response.status < 300:
            raise _refusal(response.status, f"{method} {path}", text)
        answer: dict[str, Any] = json.loads(text)
        return answer


class _PostedEvent:
    """An Event that may be counted up."""

    def __init__(self, name: str, first: float) -> None:
        self.name = name
        self.count = 1
        self._first = first

    def is_fresh(self, now: float) -> bool:
        return 0 <= now - self._first < EVENT_AGGREGATION_SECONDS


async def load_client() -> client.ApiClient:
    """A client for the API server: by the service account in a pod, else by KUBECONFIG's current context."""
    configuration = client.Configuration()
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        config.load_incluster_config(configuration)
    else:
        await config.load_kube_config(client_configuration=configuration)
    return client.ApiClient(configuration)


def _scaled(target: Target, scale: Mapping[str, Any]) -> Target:
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    return replace(target, replicas=replicas, resource_version=int(scale["metadata"]["resourceVersion"]))


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


def _decoded(value: str) -> str | None:
    try:
        return base64.b64decode(value).decode()
    except UnicodeDecodeError:  # a keystore, say; nothing that tells where a broker is
        return None


def _deployment_path(key: Key) -> str:
    return f"/apis/apps/v1/namespaces/{key.namespace}/deployments/{key.name}"


def _workqueue_path(key: Key) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{key.namespace}/{PLURAL}/{key.name}"


def _refusal(status: int, request: str, text: bytes) -> ClusterError:
    try:
        message = json.loads(text).get("message", "")
    except ValueError:
        message = text[:200].decode("utf-8", errors="replace")
    told = f"{request}: {status} {message}"
    # 422 is what a failed test of a JSON patch answers: the object is not as we saw it.
    errors = {401: Forbidden, 403: Forbidden, 404: NotFound, 409: Conflict, 422: Conflict}
    return errors.get(status, ClusterUnavailable)(told)
