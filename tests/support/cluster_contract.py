"""What the operator may take for granted of a cluster: scenarios for the fake, for local processes and for Kubernetes.

tests/unit/operator/cluster/test_cluster_contract.py runs them on the first two, tests/cluster/test_cluster_contract.py
on a real API server. Each of the two has a fixture `ground`.
"""

import asyncio
from dataclasses import replace
from typing import Any, Protocol

import pytest
from workqueue_operator.cluster.kubernetes_values import FIELD_MANAGER
from workqueue_operator.cluster.port import Cluster, ClusterError, Conflict, NotFound, Notice, Target
from workqueue_operator.resource import Key


class Ground(Protocol):
    """Where a scenario takes place, and what others than the operator do there."""

    @property
    def cluster(self) -> Cluster:
        """The adapter, or a fake."""

    @property
    def namespace(self) -> str:
        """Where everything of the scenario lies."""

    async def deploy(self, name: str, replicas: int | None) -> Key:
        """A Deployment with its pods, all of them running, and its status up to date.

        None: one worker, by a server-side apply that leaves the size out.
        """

    async def scale(self, key: Key, replicas: int) -> None:
        """As a person does, with its pods and status afterwards."""

    async def settle(self, key: Key, replicas: int) -> None:
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


async def test_replicas_are_set_where_they_are_as_seen_and_nowhere_else(ground: Ground) -> None:
    key = await ground.deploy("seen", 2)
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
    key = await ground.deploy("none", 0)
    seen = await ground.cluster.read_target(key)
    assert seen.replicas == 0
    await ground.scale(key, 1)
    with pytest.raises(Conflict):
        await ground.cluster.set_replicas(seen, 2)
    await ground.scale(key, 0)
    scaled = await ground.cluster.set_replicas(await ground.cluster.read_target(key), 1)
    assert scaled.replicas == 1


async def test_a_size_has_the_name_of_the_program_that_set_it_from_the_operators_first_scale_on(ground: Ground) -> None:
    """`kubectl scale` has none at 0, and none while the field has no manager at all."""
    key = await ground.deploy("named", None)
    assert (await ground.cluster.read_target(key)).sized_by == ""
    await ground.scale(key, 2)
    seen = await ground.cluster.read_target(key)
    assert seen.sized_by == ""
    for replicas in (1, 2, 0, 2):
        seen = await ground.cluster.set_replicas(seen, replicas)
        assert seen.sized_by == FIELD_MANAGER
        await ground.settle(key, replicas)
        seen = await ground.cluster.read_target(key)
        assert (seen.replicas, seen.sized_by) == (replicas, FIELD_MANAGER)
    await ground.scale(key, 1)
    assert (await ground.cluster.read_target(key)).sized_by == "kubectl"
    await ground.cluster.set_replicas(await ground.cluster.read_target(key), 2)
    await ground.settle(key, 2)
    assert (await ground.cluster.read_target(key)).sized_by == FIELD_MANAGER
    await ground.scale(key, 0)
    assert (await ground.cluster.read_target(key)).sized_by == ""


async def test_a_size_that_no_manager_owns_is_set_where_it_is_as_seen_and_nowhere_else(ground: Ground) -> None:
    key = await ground.deploy("unowned", None)
    seen = await ground.cluster.read_target(key)
    await ground.scale(key, 2)
    with pytest.raises(Conflict):
        await ground.cluster.set_replicas(seen, 3)
    assert (await ground.cluster.read_target(key)).replicas == 2


async def test_a_deletion_cost_is_there_when_it_is_read_back_and_can_be_taken_away(ground: Ground) -> None:
    target = await ground.cluster.read_target(await ground.deploy("marked", 1))
    (pod,) = await ground.cluster.read_pods(target)
    assert pod.deletion_cost == 0
    await ground.cluster.set_deletion_cost(ground.namespace, pod.name, -1000)
    assert [one.deletion_cost for one in await ground.cluster.read_pods(target)] == [-1000]
    await ground.cluster.set_deletion_cost(ground.namespace, pod.name, None)
    assert [one.deletion_cost for one in await ground.cluster.read_pods(target)] == [0]


async def test_pods_are_those_of_the_deployment_and_the_deleted_ones_stay_until_they_have_ended(ground: Ground) -> None:
    target = await ground.cluster.read_target(await ground.deploy("deleted", 2))
    other = await ground.cluster.read_target(await ground.deploy("other", 1))
    pods = await ground.cluster.read_pods(target)
    assert [(one.active, one.running, one.ready, one.finished) for one in pods] == [(True, True, True, False)] * 2
    assert {one.uid for one in pods}.isdisjoint({one.uid for one in await ground.cluster.read_pods(other)})
    await ground.cluster.set_deletion_cost(ground.namespace, pods[0].name, -1000)
    ground.delete_pod(pods[0].name)
    terminating = {one.uid: one for one in await ground.cluster.read_pods(target)}[pods[0].uid]
    assert (terminating.terminating, terminating.active, terminating.running) == (True, False, True)


async def test_a_scale_down_takes_the_pod_with_the_low_cost(ground: Ground) -> None:
    target = await ground.cluster.read_target(await ground.deploy("cheap", 3))
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
