"""Beside another WorkQueue or an autoscaler on the same Deployment, the operator stands back."""

from workqueue_operator.resource import Key
from workqueue_operator.scaling.demand import Counts

from tests.support.passes import DEPLOYMENT, Operator, body


async def test_of_two_on_one_deployment_the_younger_stands_back(operator: Operator) -> None:
    older = operator.add()
    younger = operator.add(body("late", created="2026-06-01T00:00:00Z"))
    await operator.after(1, younger, Counts(500, 0))
    await operator.after(1, older, Counts(30, 0))
    assert operator.replicas == 6
    assert operator.condition("ScalingActive", Key("team", "late"))["reason"] == "TargetConflict"
    assert operator.condition("Ready")["status"] == "True"


async def test_beside_a_horizontal_pod_autoscaler_it_stands_back_until_that_is_gone(operator: Operator) -> None:
    operator.cluster.autoscalers[DEPLOYMENT] = "cpu"
    tracked = operator.add()
    await operator.after(10, tracked, Counts(30, 0))
    assert operator.writes("scale") == []
    condition = operator.condition("ScalingActive")
    assert condition["reason"] == "TargetConflict"
    assert "HorizontalPodAutoscaler cpu" in condition["message"]
    del operator.cluster.autoscalers[DEPLOYMENT]
    await operator.after(60, tracked, Counts(30, 0))
    assert operator.replicas == 6


async def test_a_horizontal_pod_autoscaler_that_comes_later_is_found_within_a_minute(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(1, tracked, Counts(30, 0))
    operator.cluster.autoscalers[DEPLOYMENT] = "cpu"
    await operator.after(60, tracked, Counts(30, 0))
    assert operator.condition("ScalingActive")["reason"] == "TargetConflict"
    await operator.after(5, tracked, Counts(300, 0))
    assert operator.replicas == 6


async def test_in_dry_run_another_autoscaler_is_compared_not_fought(operator: Operator) -> None:
    operator.cluster.autoscalers[DEPLOYMENT] = "cpu"
    tracked = operator.add(mode="DryRun")
    await operator.after(5, tracked, Counts(30, 0))
    assert operator.status()["desiredReplicas"] == 6
