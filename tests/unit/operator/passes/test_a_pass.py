"""Whole passes over a WorkQueue: a size is decided from a reading and carried out."""

import pytest
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.demand import Counts

from tests.support.passes import DEPLOYMENT, Operator

AWAY = Unknown("Unavailable", "connection refused")


async def test_from_nothing_to_work_and_back_to_nothing(operator: Operator) -> None:
    """The main job: up in one step, down in one step after the window."""
    tracked = operator.add()
    await operator.after(1, tracked, Counts(30, 0))
    assert operator.replicas == 6
    await operator.after(59, tracked, Counts(0, 6))
    assert operator.replicas == 6
    await operator.after(3, tracked, Counts(0, 6))
    assert operator.replicas == 0
    assert operator.writes("scale") == [6, 0]
    assert [one.reason for one in operator.cluster.events] == ["Backlog", "BacklogDrained"]


async def test_an_unknown_queue_holds_the_workers_and_says_so(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(1, tracked, Counts(30, 0))
    await operator.after(600, tracked, AWAY)
    assert operator.replicas == 6
    condition = operator.condition("QueueObserved")
    assert (condition["status"], condition["reason"]) == ("False", "Unavailable")
    assert operator.condition("Ready")["status"] == "False"
    assert [one.reason for one in operator.cluster.events] == ["Backlog", "Unavailable"]


async def test_dry_run_decides_and_writes_only_the_status(operator: Operator) -> None:
    tracked = operator.add(mode="DryRun")
    await operator.after(5, tracked, Counts(30, 0))
    assert operator.replicas == 0
    assert operator.writes("scale") == []
    assert operator.status()["desiredReplicas"] == 6
    condition = operator.condition("ScalingActive")
    assert (condition["status"], condition["reason"]) == ("False", "DryRun")
    assert operator.condition("Ready")["status"] == "True"


async def test_a_missing_deployment_is_a_condition_that_names_the_field(operator: Operator) -> None:
    tracked = operator.add(scaleTargetRef={"name": "missing"})
    await operator.after(1, tracked, Counts(30, 0))
    condition = operator.condition("TargetFound")
    assert condition["status"] == "False"
    assert condition["message"] == "spec.scaleTargetRef.name: there is no Deployment missing in team; create it"


async def test_a_deployment_that_was_deleted_and_made_again_is_found(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(1, tracked, Counts(0, 0))
    del operator.cluster.targets[DEPLOYMENT]
    await operator.after(40, tracked, Counts(30, 0))
    assert operator.condition("TargetFound")["status"] == "False"
    operator.cluster.add_deployment(DEPLOYMENT, 0)
    await operator.after(40, tracked, Counts(30, 0))
    assert operator.replicas == 6


async def test_a_spec_that_cannot_be_used_is_a_condition_that_names_the_field(operator: Operator) -> None:
    tracked = operator.add(scaling={"minReplicas": 5, "maxReplicas": 2})
    await operator.after(1, tracked, Counts(30, 0))
    assert operator.replicas == 0
    assert "spec.scaling.minReplicas is 5" in operator.condition("Ready")["message"]


async def test_the_time_from_a_reading_to_its_scale_is_measured_and_a_fallback_has_none(operator: Operator) -> None:
    tracked = operator.add(scaling={"fallback": {"afterSeconds": 10, "replicas": 9}})
    asked_at = operator.clock.now - 3.0
    await operator.next_pass(tracked, Counts(30, 0, asked_at=asked_at))
    took = operator.clock.now - asked_at
    await operator.after(20, tracked, Unknown("Unavailable", "away"))
    assert operator.replicas == 9
    name = "workqueue_operator_reading_to_scale_seconds"
    assert operator.registry.get_sample_value(f"{name}_count") == 1
    assert operator.registry.get_sample_value(f"{name}_sum") == pytest.approx(took)
