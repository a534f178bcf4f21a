"""What the operator may take for granted of a cluster, on the fake of the unit tests and on a real API server alike."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pytest
from kubernetes.aio import client, config
from workqueue_operator import web
from workqueue_operator.cluster.kubernetes_api import KubernetesApi
from workqueue_operator.cluster.kubernetes_cluster import KubernetesCluster
from workqueue_operator.cluster.kubernetes_values import FIELD_MANAGER
from workqueue_operator.cluster.port import Cluster, ClusterError, Conflict, NotFound, Notice, Target
from workqueue_operator.resource import Key

from dev.kube import Kube, Proxy
from tests.support.fakes import FakeCluster
from tests.support.waiting import wait_until
from tests.support.work import UNSERVED, empty_namespace, producer_pod


class Ground(Protocol):
    """Where a scenario takes place, and what others than the operator do there."""

    cluster: Cluster
    namespace: str

    def deploy(self, name: str, replicas: int | None) -> Key:
        """A Deployment with its pods, all of them running, and its status up to date.

        None: one worker, by a server-side apply that leaves the size out.
        """

    def scale(self, key: Key, replicas: int) -> None:
        """As a person does, with its pods and status afterwards."""

    def settle(self, key: Key, replicas: int) -> None:
        """Until the Deployment has so many pods, all of them running, and its status is up to date."""

    def delete_pod(self, name: str) -> None:
        """One whose worker does not end soon."""

    def add_secret(self, name: str, values: dict[str, str]) -> None: ...

    def add_autoscaler(self, name: str, target: Key) -> None: ...

    def add_workqueue(self, name: str) -> str:
        """Answers its UID."""

    def status(self, name: str) -> dict[str, Any]: ...

    def event(self, uid: str, reason: str) -> tuple[int, str]:
        """Count and message of the one Event with this reason."""


@dataclass
class FakeGround:
    cluster: FakeCluster = field(default_factory=FakeCluster)
    namespace: str = "team"

    def deploy(self, name: str, replicas: int | None) -> Key:
        key = Key(self.namespace, name)
        made = self.cluster.add_deployment(key, 1 if replicas is None else replicas)
        self.cluster.targets[key] = replace(made, sized_by="" if replicas is None else "kubectl-client-side-apply")
        return key

    def scale(self, key: Key, replicas: int) -> None:
        self.cluster._follow(self.cluster.scale(key, replicas, "kubectl"))

    def settle(self, key: Key, replicas: int) -> None:
        assert self.cluster.targets[key].ready == replicas

    def delete_pod(self, name: str) -> None:
        self.cluster.tasks[name] = 1
        self.cluster.terminate(name)

    def add_secret(self, name: str, values: dict[str, str]) -> None:
        self.cluster.secrets[Key(self.namespace, name)] = values

    def add_autoscaler(self, name: str, target: Key) -> None:
        self.cluster.autoscalers[target] = name

    def add_workqueue(self, name: str) -> str:
        metadata = {"namespace": self.namespace, "name": name, "uid": f"uid-{name}"}
        self.cluster.workqueues[Key(self.namespace, name)] = {"metadata": metadata}
        return f"uid-{name}"

    def status(self, name: str) -> dict[str, Any]:
        return dict(self.cluster.workqueues[Key(self.namespace, name)]["status"])

    def event(self, uid: str, reason: str) -> tuple[int, str]:
        posted = self.cluster.posted[uid, reason]
        return posted.count, posted.message


@dataclass
class RealGround:
    kube: Kube
    proxy: Proxy
    namespace: str
    cluster: KubernetesCluster

    def deploy(self, name: str, replicas: int | None) -> Key:
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
        self.settle(key, 1 if replicas is None else replicas)
        return key

    def scale(self, key: Key, replicas: int) -> None:
        self.kube.kubectl("scale", f"deployment/{key.name}", "-n", self.namespace, f"--replicas={replicas}")
        self.settle(key, replicas)

    def settle(self, key: Key, replicas: int) -> None:
        def is_settled() -> bool:
            found = self.proxy.data(f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{key.name}") or {}
            status = found["status"]
            seen = status.get("observedGeneration") == found["metadata"]["generation"]
            return seen and status.get("replicas", 0) == status.get("readyReplicas", 0) == replicas

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
        spec = {"mode": "Paused", "broker": {"secretName": "nowhere"}, "scaleTargetRef": {"name": f"nobody-{name}"}}
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


@pytest.fixture(params=["fake", "real"])
def kind(request: pytest.FixtureRequest) -> tuple[Kube, Proxy, str] | None:
    """None for the fake; for the real one the cluster, and a namespace in which no operator writes beside it."""
    if request.param == "fake":
        return None
    needed = ("kube", "proxy", "shared_namespace")
    kube, proxy, namespace = (request.getfixturevalue(name) for name in needed)
    return kube, proxy, namespace


@pytest.fixture
async def ground(kind: tuple[Kube, Proxy, str] | None) -> AsyncIterator[Ground]:
    if kind is None:
        yield FakeGround()
        return
    kube, proxy, namespace = kind
    configuration = client.Configuration()
    await config.load_kube_config(context=kube.context, client_configuration=configuration)
    async with client.ApiClient(configuration) as api_client, web.open_session() as session:
        yield RealGround(kube, proxy, namespace, KubernetesCluster(KubernetesApi(api_client), session, [namespace]))


async def test_replicas_are_set_where_they_are_as_seen_and_nowhere_else(ground: Ground) -> None:
    key = ground.deploy("seen", 2)
    seen = await ground.cluster.read_target(key)
    scaled = await ground.cluster.set_replicas(seen, 1)
    assert (scaled.replicas, scaled.uid, scaled.key) == (1, seen.uid, key)
    assert scaled.resource_version > seen.resource_version
    assert (await ground.cluster.read_target(key)).replicas == 1
    with pytest.raises(Conflict):
        await ground.cluster.set_replicas(seen, 3)
    assert (await ground.cluster.read_target(key)).replicas == 1


async def test_from_none_too(ground: Ground) -> None:
    """The API server leaves a zero out, so that there is no number to compare."""
    key = ground.deploy("none", 0)
    seen = await ground.cluster.read_target(key)
    assert seen.replicas == 0
    ground.scale(key, 1)
    with pytest.raises(Conflict):
        await ground.cluster.set_replicas(seen, 2)
    ground.scale(key, 0)
    scaled = await ground.cluster.set_replicas(await ground.cluster.read_target(key), 1)
    assert scaled.replicas == 1


async def test_a_size_has_the_name_of_whoever_set_it_from_the_operators_first_scale_on(ground: Ground) -> None:
    """`kubectl scale` has none at 0, and none while the field has no manager at all."""
    key = ground.deploy("named", None)
    assert (await ground.cluster.read_target(key)).sized_by == ""
    ground.scale(key, 2)
    seen = await ground.cluster.read_target(key)
    assert seen.sized_by == ""
    for replicas in (1, 2, 0, 2):
        seen = await ground.cluster.set_replicas(seen, replicas)
        assert seen.sized_by == FIELD_MANAGER
        ground.settle(key, replicas)
        seen = await ground.cluster.read_target(key)
        assert (seen.replicas, seen.sized_by) == (replicas, FIELD_MANAGER)
    ground.scale(key, 1)
    assert (await ground.cluster.read_target(key)).sized_by == "kubectl"
    await ground.cluster.set_replicas(await ground.cluster.read_target(key), 2)
    ground.settle(key, 2)
    assert (await ground.cluster.read_target(key)).sized_by == FIELD_MANAGER
    ground.scale(key, 0)
    assert (await ground.cluster.read_target(key)).sized_by == ""


async def test_a_size_that_nobody_owns_is_set_where_it_is_as_seen_and_nowhere_else(ground: Ground) -> None:
    key = ground.deploy("unowned", None)
    seen = await ground.cluster.read_target(key)
    ground.scale(key, 2)
    with pytest.raises(Conflict):
        await ground.cluster.set_replicas(seen, 3)
    assert (await ground.cluster.read_target(key)).replicas == 2


async def test_a_deletion_cost_is_there_when_it_is_read_back_and_can_be_taken_away(ground: Ground) -> None:
    target = await ground.cluster.read_target(ground.deploy("marked", 1))
    (pod,) = await ground.cluster.read_pods(target)
    assert pod.deletion_cost == 0
    await ground.cluster.set_deletion_cost(ground.namespace, pod.name, -1000)
    assert [one.deletion_cost for one in await ground.cluster.read_pods(target)] == [-1000]
    await ground.cluster.set_deletion_cost(ground.namespace, pod.name, None)
    assert [one.deletion_cost for one in await ground.cluster.read_pods(target)] == [0]


async def test_pods_are_those_of_the_deployment_and_the_deleted_ones_stay_until_they_have_ended(ground: Ground) -> None:
    target = await ground.cluster.read_target(ground.deploy("deleted", 2))
    other = await ground.cluster.read_target(ground.deploy("other", 1))
    pods = await ground.cluster.read_pods(target)
    assert [(one.active, one.running, one.ready, one.finished) for one in pods] == [(True, True, True, False)] * 2
    assert {one.uid for one in pods}.isdisjoint({one.uid for one in await ground.cluster.read_pods(other)})
    await ground.cluster.set_deletion_cost(ground.namespace, pods[0].name, -1000)
    ground.delete_pod(pods[0].name)
    terminating = {one.uid: one for one in await ground.cluster.read_pods(target)}[pods[0].uid]
    assert (terminating.terminating, terminating.active, terminating.running) == (True, False, True)


async def test_a_scale_down_takes_the_pod_with_the_low_cost(ground: Ground) -> None:
    target = await ground.cluster.read_target(ground.deploy("cheap", 3))
    oldest = min(await ground.cluster.read_pods(target), key=lambda pod: pod.created)
    await ground.cluster.set_deletion_cost(ground.namespace, oldest.name, -1000)
    scaled = await ground.cluster.set_replicas(target, 2)
    staying = await until_active(ground.cluster, scaled, 2)
    assert oldest.uid not in staying


async def until_active(cluster: Cluster, target: Target, count: int) -> set[str]:
    """The UIDs of the active pods, once there are so many."""
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        staying = {pod.uid for pod in await cluster.read_pods(target) if pod.active}
        if len(staying) == count:
            return staying
        assert asyncio.get_running_loop().time() < deadline, f"not within 60 s: {count} active pods of {target.key}"
        await asyncio.sleep(0.05)


async def test_a_status_is_merged_and_null_takes_a_field_away(ground: Ground) -> None:
    ground.add_workqueue("merged")
    key = Key(ground.namespace, "merged")
    await ground.cluster.write_status(key, {"tasksInProgress": 3, "messagesUnacknowledged": 4})
    await ground.cluster.write_status(key, {"tasksInProgress": None})
    status = ground.status("merged")
    assert status["messagesUnacknowledged"] == 4
    assert "tasksInProgress" not in status


async def test_an_event_of_the_same_reason_is_counted_up(ground: Ground) -> None:
    uid = ground.add_workqueue("counted")
    key = Key(ground.namespace, "counted")
    for number in (1, 2, 3):
        await ground.cluster.post_event(key, uid, Notice("Repeated", f"for the time number {number}"))
    await ground.cluster.post_event(key, uid, Notice("Other", "once"))
    assert ground.event(uid, "Repeated") == (3, "for the time number 3")
    assert ground.event(uid, "Other") == (1, "once")


async def test_workqueues_are_listed(ground: Ground) -> None:
    ground.add_workqueue("one")
    ground.add_workqueue("two")
    listing = await ground.cluster.list_workqueues()
    listed = [body for found in listing.values() if not isinstance(found, ClusterError) for body in found]
    assert {"one", "two"} <= {body["metadata"]["name"] for body in listed}


async def test_a_secret_is_decoded(ground: Ground) -> None:
    ground.add_secret("login", {"username": "ö", "password": "p w"})
    assert await ground.cluster.read_secret(Key(ground.namespace, "login")) == {"username": "ö", "password": "p w"}


async def test_an_autoscaler_is_found_by_its_deployment(ground: Ground) -> None:
    ground.add_autoscaler("cpu", Key(ground.namespace, "scaled"))
    assert await ground.cluster.find_autoscaler(Key(ground.namespace, "scaled")) == "cpu"
    assert await ground.cluster.find_autoscaler(Key(ground.namespace, "unscaled")) is None


async def test_what_is_not_there_is_not_found(ground: Ground) -> None:
    gone = Key(ground.namespace, "gone")
    target = Target(gone, "uid", 1, 1, False, "app=gone", 1)
    for asked in (
        ground.cluster.read_target(gone),
        ground.cluster.read_secret(gone),
        ground.cluster.set_deletion_cost(gone.namespace, gone.name, -1000),
        ground.cluster.set_replicas(target, 2),
        ground.cluster.set_replicas(replace(target, replicas=0), 2),
        ground.cluster.write_status(gone, {"replicas": 1}),
    ):
        with pytest.raises(NotFound):
            await asked
    assert list(await ground.cluster.read_pods(target)) == []
