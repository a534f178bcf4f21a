"""What the Kubernetes adapter reads out of objects, as the API server gives them."""

from typing import Any

import pytest
from workqueue_operator.cluster.kubernetes_values import is_of_a_deployment, pod_of, selector_of, target_of


def deployment(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "team", "name": "w", "uid": "1", "generation": 3, "resourceVersion": "42"},
        "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "w"}}},
        "status": status,
    }


def test_a_deployment_with_pods_of_an_old_template_is_rolling_out() -> None:
    assert target_of(deployment(replicas=5, updatedReplicas=2, readyReplicas=4)).rolling_out


def test_a_deployment_that_only_grows_is_not_rolling_out() -> None:
    target = target_of(deployment(replicas=4, updatedReplicas=4, readyReplicas=1, observedGeneration=2))
    assert (target.replicas, target.ready, target.rolling_out) == (4, 1, False)


def test_a_new_deployment_has_no_status_yet() -> None:
    target = target_of(deployment())
    assert (target.replicas, target.ready, target.rolling_out, target.resource_version) == (4, 0, False, 42)


def pod(state: dict[str, Any], phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "team",
            "name": "w-1",
            "uid": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **metadata,
        },
        "status": {
            "phase": phase,
            "podIP": "10.0.0.7",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"state": state, "restartCount": 2}],
        },
    }


def test_a_running_pod() -> None:
    seen = pod_of(pod({"running": {}}))
    assert (seen.running, seen.pending, seen.ready, seen.trouble, seen.restarts) == (True, False, True, "", 2)


def test_a_crash_loop_is_trouble_and_starting_is_none() -> None:
    assert pod_of(pod({"waiting": {"reason": "CrashLoopBackOff"}})).trouble == "CrashLoopBackOff"
    assert pod_of(pod({"waiting": {"reason": "ContainerCreating"}}, "Pending")).trouble == ""


@pytest.mark.parametrize(("exit_code", "restarts"), [(0, 0), (1, 2), (137, 2)])
def test_a_restart_after_an_end_in_order_is_none(exit_code: int, restarts: int) -> None:
    body = pod({"running": {}})
    body["status"]["containerStatuses"][0]["lastState"] = {"terminated": {"exitCode": exit_code}}
    assert pod_of(body).restarts == restarts


def test_a_deletion_cost_and_a_deletion() -> None:
    annotations = {"controller.kubernetes.io/pod-deletion-cost": "-1000"}
    seen = pod_of(pod({"running": {}}, annotations=annotations, deletionTimestamp="2026-01-01T00:00:01Z"))
    assert (seen.deletion_cost, seen.terminating) == (-1000, True)


def test_an_evicted_pod_is_finished_and_no_replica() -> None:
    seen = pod_of(pod({"terminated": {"exitCode": 137}}, "Failed"))
    assert (seen.finished, seen.active, seen.running) == (True, False, False)
    assert pod_of(pod({"running": {}})).active


@pytest.mark.parametrize(
    ("selector", "query"),
    [
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, "a in (1,2)"),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, "a notin (1)"),
        ({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}, "a=1,b"),
        ({"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}, "!b"),
    ],
)
def test_the_whole_selector_counts(selector: dict[str, Any], query: str) -> None:
    assert selector_of(selector) == query


@pytest.mark.parametrize(
    ("owners", "counts"),
    [
        ([], True),  # an orphan, which the ReplicaSet takes to itself
        ([{"kind": "ReplicaSet", "name": "w-5d8f", "controller": True}], True),
        ([{"kind": "ReplicaSet", "name": "adopted-5d8f", "controller": True}], True),
        ([{"kind": "StatefulSet", "name": "w", "controller": True}], False),
        ([{"kind": "Job", "name": "w", "controller": True}], False),
    ],
)
def test_pods_of_another_kind_of_controller_are_not_the_deployments(owners: list[Any], counts: bool) -> None:
    assert is_of_a_deployment(pod({"running": {}}, ownerReferences=owners)) == counts


NO_NODE = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
QUOTA = 'pods "jobs-worker-5f" is forbidden: exceeded quota: one, requested: pods=1, used: pods=1, limited: pods=1'


def starting_pod(**status: Any) -> dict[str, Any]:
    metadata = {"namespace": "team", "name": "w", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "status": {"phase": "Pending", **status}}


def container(state: dict[str, Any], restarts: int, last: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"state": state, "restartCount": restarts, "lastState": last or {}}


WAITS = container({"waiting": {"reason": "PodInitializing"}}, 0)
FAILED = {"terminated": {"exitCode": 1, "reason": "Error"}}


def test_a_container_that_runs_before_the_worker_counts_as_a_container() -> None:
    """As the API server had it of a pod in Init:CrashLoopBackOff, and a moment before in Init:Error."""
    looping = container({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}, 6, FAILED)
    seen = pod_of(starting_pod(initContainerStatuses=[looping], containerStatuses=[WAITS]))
    assert (seen.trouble, seen.restarts, seen.running) == ("CrashLoopBackOff", 6, False)
    between = pod_of(starting_pod(initContainerStatuses=[container(FAILED, 6, FAILED)], containerStatuses=[WAITS]))
    assert (between.trouble, between.restarts) == ("", 6)


def test_a_container_that_ended_in_order_before_the_worker_is_no_trouble() -> None:
    done = container({"terminated": {"exitCode": 0, "reason": "Completed"}}, 0)
    seen = pod_of(starting_pod(initContainerStatuses=[done], containerStatuses=[WAITS]))
    assert (seen.trouble, seen.restarts) == ("", 0)


def test_a_sidecar_that_runs_is_no_running_worker() -> None:
    seen = pod_of(starting_pod(initContainerStatuses=[container({"running": {}}, 0)], containerStatuses=[WAITS]))
    assert not seen.running


def test_the_schedulers_and_the_deployments_words_are_taken_over() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": NO_NODE}
    assert pod_of(starting_pod(conditions=[condition])).unschedulable == f"Unschedulable: {NO_NODE}"
    assert pod_of(starting_pod(conditions=[{"type": "PodScheduled", "status": "True"}])).unschedulable == ""
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": QUOTA}
    deadline = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}
    seen = target_of(deployment(conditions=[failure, deadline]))
    assert (seen.refused, seen.stuck) == (f"FailedCreate: {QUOTA}", "ProgressDeadlineExceeded: late")
    fine = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "done"}
    assert (target_of(deployment(conditions=[fine])).refused, target_of(deployment(conditions=[fine])).stuck) == (
        "",
        "",
    )
