"""WorkersHealthy: what keeps the workers from their work is seen and named in the cluster's own words."""

from dataclasses import replace
from typing import Any

import pytest
from workqueue_operator.cluster.kubernetes_values import pod_of, target_of
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.scaling.worker_health import Unconsumed, unconsumed
from workqueue_operator.store import Tracked

from tests.support.passes import DEPLOYMENT, Operator

NO_NODE = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
QUOTA = 'pods "jobs-worker-5f" is forbidden: exceeded quota: one, requested: pods=1, used: pods=1, limited: pods=1'


async def four_starting(**change: Any) -> tuple[Operator, Tracked]:
    """Four workers that are asked for, none of which is Ready; `change` is what their pods have."""
    operator = Operator(replicas_at_start=0)
    tracked = operator.add()
    await operator.after(1, tracked, Counts(20, 0))
    for name, pod in list(operator.cluster.pods.items()):
        operator.cluster.pods[name] = replace(pod, **{"running": False, "ready": False, **change})
    operator.ready(0)
    return operator, tracked


def change_deployment(operator: Operator, **change: Any) -> None:
    old = operator.cluster.targets[DEPLOYMENT]
    operator.cluster.targets[DEPLOYMENT] = replace(old, resource_version=old.resource_version + 1, **change)
    operator.store.see_target(operator.cluster.targets[DEPLOYMENT])


async def test_pods_without_a_node_stop_growth_in_the_schedulers_words() -> None:
    operator, tracked = await four_starting(pending=True, unschedulable=f"Unschedulable: {NO_NODE}")
    await operator.after(40, tracked, Counts(20, 0))
    healthy = operator.condition("WorkersHealthy")
    assert (healthy["status"], healthy["reason"]) == ("False", "WorkersFailing")
    assert healthy["message"] == f"4 of 4 pods fail: Unschedulable: {NO_NODE}"
    await operator.after(5, tracked, Counts(100, 0))
    assert (operator.replicas, operator.status()["lastDecision"]["reason"]) == (4, "WorkersFailing")


async def test_pods_that_get_a_node_soon_are_no_obstacle_and_growth_goes_on_at_once() -> None:
    operator, tracked = await four_starting(pending=True, unschedulable=f"Unschedulable: {NO_NODE}")
    await operator.after(20, tracked, Counts(20, 0))
    assert operator.condition("WorkersHealthy")["status"] == "True"
    await operator.after(20, tracked, Counts(20, 0))
    for name, pod in list(operator.cluster.pods.items()):
        operator.cluster.pods[name] = replace(pod, unschedulable="", pending=False, running=True, ready=True)
    operator.ready(4)
    await operator.after(7, tracked, Counts(100, 4))
    assert operator.replicas == 20


async def test_a_quota_stops_growth_in_the_deployments_words() -> None:
    operator, tracked = await four_starting()
    change_deployment(operator, refused=f"FailedCreate: {QUOTA}")
    await operator.after(2, tracked, Counts(100, 1))
    healthy = operator.condition("WorkersHealthy")
    assert (healthy["status"], healthy["reason"]) == ("False", "PodsRefused")
    assert healthy["message"] == f"Deployment thumbnails-worker: FailedCreate: {QUOTA}"
    assert operator.replicas == 4


async def test_a_stuck_rollout_is_told_and_its_idle_workers_too() -> None:
    operator = Operator(replicas_at_start=3)
    tracked = operator.add()
    words = 'ProgressDeadlineExceeded: ReplicaSet "thumbnails-worker-6c" has timed out progressing.'
    change_deployment(operator, rolling_out=True, stuck=words)
    await operator.after(70, tracked, Counts(0, 3))
    assert operator.status()["lastDecision"]["reason"] == "RolloutInProgress"
    healthy = operator.condition("WorkersHealthy")
    assert (healthy["reason"], healthy["message"]) == ("RolloutStuck", f"Deployment thumbnails-worker: {words}")
    assert operator.told == ["RolloutStuck"]
    await operator.after(1, tracked, Counts(50, 3))
    assert operator.replicas == 10


async def test_ready_workers_that_leave_the_messages_alone_are_told() -> None:
    operator = Operator(replicas_at_start=2)
    tracked = operator.add(scaling={"maxReplicas": 2})
    await operator.after(55, tracked, Counts(12, 0))
    assert operator.condition("WorkersHealthy")["status"] == "True"
    await operator.after(10, tracked, Counts(13, 0))
    healthy = operator.condition("WorkersHealthy")
    assert (healthy["status"], healthy["reason"]) == ("False", "NotConsuming")
    assert "2 workers are Ready" in healthy["message"]
    await operator.after(2, tracked, Counts(13, 2))
    assert operator.condition("WorkersHealthy")["status"] == "True"


async def test_workers_that_poll_are_no_obstacle() -> None:
    """basic.get makes no consumer, but the messages go."""
    operator = Operator(replicas_at_start=2)
    tracked = operator.add(scaling={"maxReplicas": 2})
    for ready in range(100, 80, -1):
        await operator.after(10, tracked, Counts(ready, 0))
        assert operator.condition("WorkersHealthy")["status"] == "True"


@pytest.mark.parametrize("reading", [Unknown("Unavailable", "away"), Counts(0, 0), Counts(5, 1)])
def test_it_ends_with_a_consumer_without_messages_and_without_a_reading(reading: Counts | Unknown) -> None:
    assert unconsumed(Unconsumed(0.0, 5), reading, 2, 100.0) is None
    assert unconsumed(Unconsumed(0.0, 5), Counts(5, 0), 0, 100.0) is None


def pod(**status: Any) -> dict[str, Any]:
    metadata = {"namespace": "team", "name": "w", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "status": {"phase": "Pending", **status}}


def container(state: dict[str, Any], restarts: int, last: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"state": state, "restartCount": restarts, "lastState": last or {}}


WAITS = container({"waiting": {"reason": "PodInitializing"}}, 0)
FAILED = {"terminated": {"exitCode": 1, "reason": "Error"}}


def test_a_container_that_runs_before_the_worker_counts_as_a_container() -> None:
    """As the API server had it of a pod in Init:CrashLoopBackOff, and a moment before in Init:Error."""
    looping = container({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}, 6, FAILED)
    seen = pod_of(pod(initContainerStatuses=[looping], containerStatuses=[WAITS]))
    assert (seen.trouble, seen.restarts, seen.running) == ("CrashLoopBackOff", 6, False)
    between = pod_of(pod(initContainerStatuses=[container(FAILED, 6, FAILED)], containerStatuses=[WAITS]))
    assert (between.trouble, between.restarts) == ("", 6)


def test_a_container_that_ended_in_order_before_the_worker_is_no_trouble() -> None:
    done = container({"terminated": {"exitCode": 0, "reason": "Completed"}}, 0)
    seen = pod_of(pod(initContainerStatuses=[done], containerStatuses=[WAITS]))
    assert (seen.trouble, seen.restarts) == ("", 0)


def test_a_sidecar_that_runs_is_no_running_worker() -> None:
    seen = pod_of(pod(initContainerStatuses=[container({"running": {}}, 0)], containerStatuses=[WAITS]))
    assert not seen.running


def test_the_schedulers_and_the_deployments_words_are_taken_over() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": NO_NODE}
    assert pod_of(pod(conditions=[condition])).unschedulable == f"Unschedulable: {NO_NODE}"
    assert pod_of(pod(conditions=[{"type": "PodScheduled", "status": "True"}])).unschedulable == ""
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": QUOTA}
    deadline = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}
    seen = target_of(deployment(failure, deadline))
    assert (seen.refused, seen.stuck) == (f"FailedCreate: {QUOTA}", "ProgressDeadlineExceeded: late")
    fine = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "done"}
    assert (target_of(deployment(fine)).refused, target_of(deployment(fine)).stuck) == ("", "")


def deployment(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "team", "name": "jobs-worker", "uid": "1", "resourceVersion": "7"},
        "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "jobs"}}},
        "status": {"replicas": 1, "updatedReplicas": 1, "conditions": list(conditions)},
    }
