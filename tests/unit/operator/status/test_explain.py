"""`explain` says for each kind of status why there are so many workers, with the formula and its numbers."""

from typing import Any

import pytest
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.demand import Counts, Rates
from workqueue_operator.status.explain import explain, unserved

from tests.support.passes import DEPLOYMENT, Operator, body

AWAY = Unknown("Unavailable", "cannot reach 10.0.0.7:5672: connection refused")


def explain_of(operator: Operator) -> str:
    (made,) = operator.cluster.workqueues.values()
    return explain(made)


def test_without_a_status_it_asks_whether_the_operator_runs() -> None:
    assert explained({}) == "team/thumbnails: nothing is decided. Is the operator running?"


def explained(status: dict[str, object]) -> str:
    return explain({**body(), "status": status})


async def test_growth() -> None:
    operator = Operator()
    await operator.after(1, operator.add(), Counts(30, 0))
    first, second, sizes, third, *_ = explain_of(operator).splitlines()
    assert first.startswith("team/thumbnails: 6 workers desired since ")
    assert sizes == "  The queue asks for 6; the Deployment has 6 replicas, 6 of them Ready."
    assert first.endswith(": Backlog.")
    assert second == "  0 -> 6: 30 ready / 5 per replica = 6"
    assert third == "  30 messages wait; the queue has 0 consumers."


async def test_growth_to_a_time_to_drain() -> None:
    operator = Operator()
    tracked = operator.add(scaling={"drainSeconds": 60})
    await operator.after(1, tracked, Counts(600, 0, Rates(2.0, 1.5)))
    assert "  0 -> 18: 1.5 s a task x (2 new/s + 600 ready / 60 s) = 18" in explain_of(operator)


@pytest.mark.parametrize(
    ("spec", "size", "reading", "sentence"),
    [
        (
            {"mode": "Paused"},
            2,
            Counts(30, 2),
            "2 left alone, mode is Paused; the queue asks: 30 ready / 5 per replica = 6",
        ),
        ({"mode": "DryRun"}, 2, Counts(30, 2), "2 -> 6: 30 ready / 5 per replica = 6"),
        ({"scaling": {"maxReplicas": 3}}, 3, Counts(30, 3), "3 is maxReplicas; asked: 30 ready / 5 per replica = 6"),
        ({"scaling": {"minReplicas": 3}}, 3, Counts(0, 3), "3 is minReplicas; asked: 0 ready / 5 per replica = 0"),
        ({}, 6, Counts(30, 6), "6 as asked: 30 ready / 5 per replica = 6"),
        (
            {"scaling": {"scaleUp": {"maxStep": 2}}},
            1,
            Counts(30, 1),
            "1 -> 3, at most 2 more in one step; the queue asks: 30 ready / 5 per replica = 6",
        ),
        (
            {},
            6,
            Counts(0, 6),
            "6 held until one window of 60 s has been watched; the queue asks: 0 ready / 5 per replica = 0",
        ),
        ({}, 2, AWAY, "queue unknown, 2 workers held: cannot reach 10.0.0.7:5672: connection refused"),
    ],
)
async def test_the_sentence_of_a_decision(
    spec: dict[str, Any], size: int, reading: Counts | Unknown, sentence: str
) -> None:
    operator = Operator(replicas_at_start=size)
    await operator.after(1, operator.add(**spec), reading)
    assert f"\n  {sentence}\n" in explain_of(operator)


async def test_an_unknown_queue_has_no_number_and_says_what_is_broken() -> None:
    operator = Operator(replicas_at_start=2)
    tracked = operator.add()
    await operator.after(1, tracked, Counts(10, 2))
    await operator.after(2, tracked, AWAY)
    text = explain_of(operator)
    assert "  How many messages wait is unknown." in text
    assert "  QueueObserved is False (Unavailable): cannot reach 10.0.0.7:5672: connection refused" in text


async def test_a_condition_that_is_normally_false_is_not_called_wrong() -> None:
    operator = Operator()
    await operator.after(1, operator.add(), Counts(30, 0))
    (made,) = operator.cluster.workqueues.values()
    limited = {"type": "WritesLimited", "status": "False", "reason": "WithinLimits", "message": ""}
    made["status"]["conditions"].append(limited)
    assert "What is wrong" not in explain_of(operator)
    limited |= {"status": "True", "reason": "TooManyChanges", "message": "status and Events are late"}
    assert "  WritesLimited is True (TooManyChanges): status and Events are late" in explain_of(operator)


async def test_a_status_by_an_earlier_version_is_explained() -> None:
    decision = {"time": "2026-01-02T03:04:05Z", "replicas": 6, "reason": "Backlog", "message": "0 -> 6"}
    assert "The queue asks for ?; the Deployment has 6 replicas" in explained({"lastDecision": decision, "replicas": 6})


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"scaleTargetRef": {"name": "missing"}}, "there is no Deployment missing in team; create it"),
        ({"scaling": {"minReplicas": 5, "maxReplicas": 2}}, "spec.scaling.minReplicas is 5, more than maxReplicas"),
    ],
)
async def test_where_nothing_is_decided_it_says_why(spec: dict[str, Any], sentence: str) -> None:
    operator = Operator()
    await operator.after(1, operator.add(**spec), Counts(30, 0))
    text = explain_of(operator)
    assert text.startswith("team/thumbnails: nothing is decided. What is wrong:\n")
    assert sentence in text


async def test_the_changes_before_are_reported_also_where_nothing_is_decided_now() -> None:
    operator = Operator()
    tracked = operator.add()
    await operator.after(1, tracked, Counts(30, 0))
    operator.cluster.autoscalers[DEPLOYMENT] = "cpu"
    await operator.after(61, tracked, Counts(30, 6))
    text = explain_of(operator)
    assert "HorizontalPodAutoscaler cpu" in text
    assert "Last changes, newest first:\n" in text
    assert text.endswith("  Backlog: 0 -> 6: 30 ready / 5 per replica = 6")


def test_a_namespace_that_is_not_served_is_answered_with_those_that_are() -> None:
    words = unserved("other", ("blue", "green"))
    assert words
    assert words.startswith("this operator serves blue, green, and not other")
    assert unserved("blue", ("blue", "green")) is None
    assert unserved("any", ()) is None
