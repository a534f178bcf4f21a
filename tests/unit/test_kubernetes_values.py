"""What the Kubernetes adapter reads out of objects, as the API server gives them."""

from typing import Any

from workqueue_operator.kubernetes_cluster import pod_of, target_of


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
        "metadata": {"name": "w-1", "creationTimestamp": "2026-01-01T00:00:00Z", **metadata},
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


def test_a_deletion_cost_and_a_deletion() -> None:
    annotations = {"controller.kubernetes.io/pod-deletion-cost": "-1000"}
    seen = pod_of(pod({"running": {}}, annotations=annotations, deletionTimestamp="2026-01-01T00:00:01Z"))
    assert (seen.deletion_cost, seen.terminating) == (-1000, True)
