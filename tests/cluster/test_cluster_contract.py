"""The scenarios of tests/support/cluster_contract.py on a real API server."""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes.aio import client, config
from workqueue_operator import web
from workqueue_operator.cluster.kubernetes_api import KubernetesApi
from workqueue_operator.cluster.kubernetes_cluster import KubernetesCluster
from workqueue_operator.resource import Key

from dev.kube import Kube, Proxy
from tests.support.cluster_contract import *  # noqa: F403 - the scenarios
from tests.support.waiting import wait_until
from tests.support.work import UNSERVED, empty_namespace, producer_pod


@dataclass
class RealGround:
    kube: Kube
    proxy: Proxy
    namespace: str
    cluster: KubernetesCluster

    async def deploy(self, name: str, replicas: int | None) -> Key:
        pod = producer_pod(self.namespace)["spec"]
        pod["containers"][0]["volumeMounts"] = pod["volumes"] = []
        pod["terminationGracePeriodSeconds"] = 1  # its process, the first of its container, ignores the signal
        selector = {"matchLabels": {"app": name}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]}
        template = {"metadata": {"labels": {"app": name, "tier": "work"}}, "spec": pod}
        key, spec = Key(self.namespace, name), {"selector": selector, "template": template}
        if replicas is None:
            metadata = {"namespace": self.namespace, "name": name}
            made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
            self.kube.kubectl("apply", "--server-side", "--filename", "-", given=json.dumps(made))
        else:
            self._apply("apps/v1", "Deployment", name, replicas=replicas, **spec)
        await self.settle(key, 1 if replicas is None else replicas)
        return key

    async def scale(self, key: Key, replicas: int) -> None:
        self.kube.kubectl("scale", f"deployment/{key.name}", "-n", self.namespace, f"--replicas={replicas}")
        await self.settle(key, replicas)

    async def settle(self, key: Key, replicas: int) -> None:
        def is_settled() -> bool:
            found = self.proxy.data(f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{key.name}") or {}
            status = found["status"]
            seen = status.get("observedGeneration") == found["metadata"]["generation"]
            return bool(seen and status.get("replicas", 0) == status.get("readyReplicas", 0) == replicas)

        wait_until(is_settled, 120, f"{replicas} pods of {key} are ready")

    def delete_pod(self, name: str) -> None:
        self.kube.kubectl("delete", "pod", name, "-n", self.namespace, "--grace-period=30", "--wait=false")

    def add_secret(self, name: str, values: dict[str, str]) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        data["keystore"] = base64.b64encode(b"\xff\xfe").decode()  # not text, and left out
        metadata = {"namespace": self.namespace, "name": name}
        self.kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})

    def add_autoscaler(self, name: str, target: Key) -> None:
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target.name}
        self._apply(
            *("autoscaling/v2", "HorizontalPodAutoscaler", name), scaleTargetRef=reference, minReplicas=1, maxReplicas=2
        )

    def add_workqueue(self, name: str) -> str:
        spec = {"mode": "Paused", "broker": {"secretName": "nowhere"}, "scaleTargetRef": {"name": f"missing-{name}"}}
        self._apply("workqueue.dev/v1alpha1", "WorkQueue", name, **spec)
        return str(self.kube.get("wq", name, "-n", self.namespace)["metadata"]["uid"])

    def status(self, name: str) -> dict[str, Any]:
        return dict(self.kube.get("wq", name, "-n", self.namespace).get("status", {}))

    def event(self, uid: str, reason: str) -> tuple[int, str]:
        chosen = f"involvedObject.uid={uid},reason={reason}"
        (event,) = self.kube.get("events", "-n", self.namespace, "--field-selector", chosen)["items"]
        return event["count"], event["message"]

    def _apply(self, version: str, kind: str, name: str, **spec: Any) -> None:
        metadata = {"namespace": self.namespace, "name": name}
        self.kube.apply({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})


@pytest.fixture(scope="module")
def shared_namespace(kube: Kube, operator: str, test_namespaces: None) -> Iterator[str]:
    """One for all scenarios, each of which has names of its own; the operator's chart brings the definition."""
    yield UNSERVED
    empty_namespace(kube, UNSERVED)


@pytest.fixture
async def ground(kube: Kube, proxy: Proxy, shared_namespace: str) -> AsyncIterator[RealGround]:
    """In a namespace in which no operator writes beside it."""
    configuration = client.Configuration()
    await config.load_kube_config(context=kube.context, client_configuration=configuration)
    async with client.ApiClient(configuration) as api_client, web.open_session() as session:
        cluster = KubernetesCluster(KubernetesApi(api_client), session, [shared_namespace])
        yield RealGround(kube, proxy, shared_namespace, cluster)
