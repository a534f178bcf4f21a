"""Workers that give no answer when they are asked: they stay, and the status says that, and never that they work."""

from typing import Any

import pytest
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.status.explain import explain
from workqueue_operator.tracked import Tracked

from tests.support.passes import Operator, body


async def three_idle_workers(silent: int = 3, **spec: Any) -> tuple[Operator, Tracked]:
    """Three workers for an empty queue, so many of which serve no gauge."""
    operator = Operator(replicas_at_start=3)
    tracked = operator.add(**spec)
    for name in sorted(operator.cluster.pods)[:silent]:
        del operator.cluster.tasks[name]
    return operator, tracked


async def test_workers_of_another_program_are_called_silent_and_the_remedy_is_named() -> None:
    operator, tracked = await three_idle_workers(workers={"metricsPort": 9000})
    await operator.after(70, tracked, Counts(0, 3))
    last = operator.status()["lastDecision"]
    assert last["reason"] == "WorkersSilent"
    assert "3 of 3 workers gave no answer at :9000/metrics" in last["message"]
    assert operator.replicas == 3


async def test_what_no_worker_answered_is_absent_and_not_zero() -> None:
    operator, tracked = await three_idle_workers()
    await operator.after(70, tracked, Counts(0, 3))
    assert operator.status().get("tasksInProgress") is None


async def test_sizes_are_distinguished() -> None:
    operator, tracked = await three_idle_workers()
    operator.ready(2)
    await operator.after(70, tracked, Counts(0, 3))
    status = operator.status()
    sizes = [status[name] for name in ("wantedReplicas", "desiredReplicas", "replicas", "readyReplicas")]
    assert sizes == [0, 3, 3, 2]
    words = explain({**body(), "status": status})
    assert "  The queue asks for 0; the Deployment has 3 replicas, 2 of them Ready." in words


async def test_silence_that_lasts_is_a_condition_and_one_event_until_they_answer() -> None:
    operator, tracked = await three_idle_workers()
    await operator.after(70, tracked, Counts(0, 3))
    assert operator.condition("WorkersHealthy")["status"] == "True"
    await operator.after(60, tracked, Counts(0, 3))
    healthy = operator.condition("WorkersHealthy")
    assert (healthy["status"], healthy["reason"]) == ("False", "WorkersSilent")
    assert "3 of 3 workers gave no answer" in healthy["message"]
    assert operator.condition("Ready")["reason"] == "WorkersSilent"
    assert operator.event_reasons == ["WorkersSilent"]
    operator.cluster.tasks.update(dict.fromkeys(operator.cluster.pods, 0))
    await operator.after(10, tracked, Counts(0, 3))
    assert operator.replicas == 0
    assert operator.condition("WorkersHealthy")["status"] == "True"
    await operator.watches_ended()


async def test_silent_workers_stop_no_growth() -> None:
    operator, tracked = await three_idle_workers()
    await operator.after(200, tracked, Counts(0, 3))
    await operator.after(1, tracked, Counts(50, 3))
    assert operator.replicas == 10


@pytest.mark.parametrize("silent", [1, 2])
async def test_those_that_answer_go_and_the_silent_ones_stay(silent: int) -> None:
    operator, tracked = await three_idle_workers(silent)
    await operator.after(70, tracked, Counts(0, 3))
    assert operator.replicas == silent
    assert operator.status()["lastDecision"]["reason"] == "WorkersSilent"
    await operator.watches_ended()
