"""What contradicts a WorkQueue and ends no scaling is said: another hand, a shared queue, times that do not fit."""

from dataclasses import replace
from typing import Any

import pytest
from workqueue_operator.cluster.kubernetes_values import FIELD_MANAGER, target_of
from workqueue_operator.rabbitmq.queue_policy import QueueInForce, consumer_timeout
from workqueue_operator.resource import Key
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.tracked import Tracked

from tests.support.passes import DEPLOYMENT, Operator


async def started(replicas: int = 3, **spec: Any) -> tuple[Operator, Tracked]:
    operator = Operator(replicas_at_start=replicas)
    tracked = operator.add(**spec)
    await operator.after(5, tracked, Counts(5 * replicas, replicas))
    return operator, tracked


def change(operator: Operator, **values: Any) -> None:
    old = operator.cluster.targets[DEPLOYMENT]
    operator.cluster.targets[DEPLOYMENT] = replace(old, resource_version=old.resource_version + 1, **values)
    operator.store.see_target(operator.cluster.targets[DEPLOYMENT])


def condition_or_none(operator: Operator, condition: str) -> dict[str, Any] | None:
    return next((one for one in operator.status()["conditions"] if one["type"] == condition), None)


async def test_a_size_that_a_manifest_set_is_named_by_the_tool_that_set_it() -> None:
    operator, tracked = await started()
    change(operator, replicas=1, sized_by="kubectl-client-side-apply")
    await operator.after(2, tracked, Counts(95, 1))
    last = operator.status()["lastDecision"]
    assert last["reason"] == "ScaledManually"
    assert last["message"].startswith("kept at 1, which kubectl-client-side-apply set, for 300 s; the queue asks:")
    assert "hand" not in last["message"]
    (event,) = operator.cluster.events
    assert event.reason == "SizeSetByOther"
    assert event.message.startswith("3 -> 1, which kubectl-client-side-apply set")
    assert "spec.replicas" in event.message


async def test_the_program_that_scales_after_the_operator_is_named_though_no_manifest_had_a_size() -> None:
    operator, tracked = await started()
    await operator.after(5, tracked, Counts(60, 3))
    operator.store.see_target(operator.cluster.scale(DEPLOYMENT, 14, "kubectl"))
    await operator.after(2, tracked, Counts(60, 12))
    assert "which kubectl set" in operator.status()["lastDecision"]["message"]
    operator.store.see_target(operator.cluster.scale(DEPLOYMENT, 20, FIELD_MANAGER))
    await operator.after(2, tracked, Counts(60, 12))
    exclusive = condition_or_none(operator, "Exclusive")
    assert exclusive
    assert exclusive["reason"] == "SecondOperator"


async def test_a_second_operator_is_named_and_its_sizes_are_not_kept() -> None:
    operator, tracked = await started()
    change(operator, replicas=9, sized_by=FIELD_MANAGER)
    await operator.after(2, tracked, Counts(60, 3))
    assert operator.replicas == 12
    exclusive = condition_or_none(operator, "Exclusive")
    assert exclusive
    assert (exclusive["status"], exclusive["reason"]) == ("False", "SecondOperator")
    assert "watchNamespaces" in exclusive["message"]
    assert operator.condition("Ready")["status"] == "True"
    await operator.after(301, tracked, Counts(60, 12))
    assert condition_or_none(operator, "Exclusive") is None


async def test_our_own_scale_is_no_second_operators() -> None:
    operator, tracked = await started()
    await operator.after(5, tracked, Counts(60, 3))
    change(operator, sized_by=FIELD_MANAGER)
    await operator.after(5, tracked, Counts(60, 12))
    assert condition_or_none(operator, "Exclusive") is None
    assert [one.reason for one in operator.cluster.events] == ["Backlog"]


@pytest.mark.parametrize(
    ("other", "named"),
    [(Key("team", "mails"), "WorkQueue mails has"), (Key("secret-team", "hidden"), "a WorkQueue of another namespace")],
)
async def test_two_workqueues_on_one_queue_are_reported(other: Key, named: str) -> None:
    operator, tracked = await started()
    tracked.sharers = (other,)
    await operator.after(2, tracked, Counts(15, 3))
    exclusive = condition_or_none(operator, "Exclusive")
    assert exclusive
    assert exclusive["reason"] == "QueueShared"
    assert named in exclusive["message"]
    assert "hidden" not in exclusive["message"]
    assert operator.event_reasons == ["QueueShared"]


async def test_a_grace_period_shorter_than_the_longest_task_is_reported_with_both_numbers() -> None:
    operator, tracked = await started(taskTimeoutSeconds=600)
    assert condition_or_none(operator, "TasksFit") is None
    change(operator, grace_seconds=5)
    await operator.after(2, tracked, Counts(15, 3))
    fit = condition_or_none(operator, "TasksFit")
    assert fit
    assert (fit["status"], fit["reason"]) == ("False", "GracePeriodTooShort")
    for part in ("terminationGracePeriodSeconds", " 5,", "spec.taskTimeoutSeconds 600 + 15", "615"):
        assert part in fit["message"]
    assert operator.condition("Ready")["status"] == "True"
    change(operator, grace_seconds=615)
    await operator.after(2, tracked, Counts(15, 3))
    assert condition_or_none(operator, "TasksFit") is None


@pytest.mark.parametrize(
    ("task", "limit", "expected"),
    [
        (1800, None, None),
        (3600, None, "more than the consumer timeout of 1800 s, RabbitMQ's default"),
        (3600, 7200.0, None),
        (600, 60.0, "more than the consumer timeout of 60 s:"),
    ],
)
async def test_a_consumer_timeout_shorter_than_the_longest_task_is_reported(
    task: int, limit: float | None, expected: str | None
) -> None:
    operator, tracked = await started(taskTimeoutSeconds=task)
    tracked.consumer_timeout = limit
    await operator.after(2, tracked, Counts(15, 3))
    fit = condition_or_none(operator, "TasksFit")
    assert (fit is None) == (expected is None)
    if fit and expected:
        assert fit["reason"] == "ConsumerTimeoutTooShort"
        assert expected in fit["message"]
        assert f"spec.taskTimeoutSeconds is {task}" in fit["message"]


def test_the_policy_in_force_has_the_consumer_timeout_in_milliseconds() -> None:
    assert consumer_timeout(QueueInForce("quorum", "p", {"consumer-timeout": 7_200_000})) == 7200
    assert consumer_timeout(QueueInForce("quorum", "p", {"consumer-timeout": "x"})) is None
    assert consumer_timeout(QueueInForce("quorum")) is None


def managed(manager: str, time: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"manager": manager, "time": time, "fieldsV1": {"f:spec": fields}}


def test_the_field_manager_that_set_the_size_last_is_read() -> None:
    body: dict[str, Any] = {
        "metadata": {"namespace": "team", "name": "jobs-worker", "uid": "1", "resourceVersion": "7"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "jobs"}},
            "template": {"spec": {"terminationGracePeriodSeconds": 5}},
        },
    }
    assert (target_of(body).sized_by, target_of(body).grace_seconds) == ("", 5)
    body["metadata"]["managedFields"] = [
        {"manager": "workqueue-operator", "fieldsV1": {"f:spec": {"f:replicas": {}}}, "subresource": "scale"},
        managed("helm", "2026-01-03T00:00:00Z", {"f:template": {}}),
        managed("argocd-controller", "2026-01-02T00:00:00Z", {"f:replicas": {}}),
        {"manager": "kube-controller-manager", "subresource": "status"},
    ]
    assert target_of(body).sized_by == "argocd-controller"
    del body["metadata"]["managedFields"][2]
    assert target_of(body).sized_by == "workqueue-operator"  # the API server gives no time with a scale
