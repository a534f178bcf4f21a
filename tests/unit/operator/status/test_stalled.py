"""Stalled, as kstatus has it: True while only a person can help, missing otherwise."""

from typing import Any

import pytest
from workqueue_operator.resource import Key
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.status.explain import explain

from tests.support.kstatus import status_of
from tests.support.passes import DEPLOYMENT, WORKQUEUE, Operator, body

UNUSABLE = {"scaling": {"minReplicas": 5, "maxReplicas": 2}}


@pytest.fixture
def operator() -> Operator:
    return Operator()


def stalled(operator: Operator, key: Key = WORKQUEUE) -> dict[str, Any] | None:
    """The condition, if it is there."""
    return next((one for one in operator.status(key)["conditions"] if one["type"] == "Stalled"), None)


def kstatus(operator: Operator, key: Key = WORKQUEUE) -> str:
    return status_of(operator.cluster.workqueues[key])


async def test_a_spec_that_cannot_be_used_is_stalled_until_it_is_corrected(operator: Operator) -> None:
    await operator.after(1, operator.add(**UNUSABLE), Counts(30, 0))
    found = stalled(operator)
    assert found is not None
    assert (found["status"], found["reason"], found["observedGeneration"]) == ("True", "InvalidSpec", 1)
    assert found["message"] == operator.condition("ScalingActive")["message"]
    assert operator.condition("Ready")["reason"] == "InvalidSpec"
    assert kstatus(operator) == "Failed"
    corrected = body()
    corrected["metadata"]["generation"] = 2
    corrected["status"] = operator.status()
    tracked = operator.add(corrected)
    assert kstatus(operator) == "InProgress", "the operator has not read the new spec yet"
    await operator.after(1, tracked, Counts(30, 0))
    assert stalled(operator) is None
    assert kstatus(operator) == "Current"


async def test_the_younger_of_two_on_one_deployment_is_stalled_until_the_older_one_is_gone(operator: Operator) -> None:
    older = operator.add()
    younger = operator.add(body("late", created="2026-06-01T00:00:00Z"))
    await operator.after(1, younger, Counts(5, 0))
    await operator.after(1, older, Counts(5, 0))
    found = stalled(operator, younger.key)
    assert found is not None
    assert (found["status"], found["reason"]) == ("True", "TargetConflict")
    assert stalled(operator) is None
    assert (kstatus(operator, younger.key), kstatus(operator)) == ("Failed", "Current")
    operator.store.forget_workqueue(older.key)
    await operator.after(1, younger, Counts(5, 0))
    assert stalled(operator, younger.key) is None


async def test_beside_a_horizontal_pod_autoscaler_it_is_stalled_until_that_is_gone(operator: Operator) -> None:
    operator.cluster.autoscalers[DEPLOYMENT] = "cpu"
    tracked = operator.add()
    await operator.after(10, tracked, Counts(30, 0))
    assert kstatus(operator) == "Failed"
    del operator.cluster.autoscalers[DEPLOYMENT]
    await operator.after(60, tracked, Counts(30, 0))
    assert stalled(operator) is None
    assert kstatus(operator) == "Current"


async def test_what_may_pass_by_itself_is_waited_for(operator: Operator) -> None:
    """A broker that is away, a Deployment that is not there yet: in progress, and never failed."""
    tracked = operator.add()
    await operator.after(90, tracked, Unknown("Unavailable", "no answer"))
    assert stalled(operator) is None
    assert kstatus(operator) == "InProgress"
    missing = operator.add(body("early", scaleTargetRef={"name": "comes-later"}))
    await operator.after(1, missing, Counts(5, 0))
    assert stalled(operator, missing.key) is None
    assert kstatus(operator, missing.key) == "InProgress"


async def test_a_paused_one_is_current(operator: Operator) -> None:
    await operator.after(1, operator.add(mode="Paused"), Counts(30, 0))
    assert kstatus(operator) == "Current"


async def test_it_adds_no_event_and_no_second_line_to_an_explanation(operator: Operator) -> None:
    await operator.after(5, operator.add(**UNUSABLE), Counts(30, 0))
    assert operator.event_reasons == ["InvalidSpec"]
    assert explain(operator.cluster.workqueues[WORKQUEUE]).count("InvalidSpec") == 1
