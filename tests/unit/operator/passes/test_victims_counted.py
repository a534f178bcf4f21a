"""Each worker that goes with a scale-down is counted once, by what it did: idle, busy or unknown."""

from dataclasses import replace

import pytest
from workqueue_operator.scaling.demand import Counts

from tests.support.passes import DEPLOYMENT, Operator, slow_scale_down


async def test_a_scale_down_in_two_steps_counts_each_worker_once(operator: Operator) -> None:
    """Two give no answer at first; when the second step comes, half of the first is carried out."""
    tracked = await slow_scale_down(operator, silent=2)
    operator.cluster.carry_out(DEPLOYMENT, at_most=2)
    await operator.next_pass(tracked, Counts(0, 10))
    silent = [name for name in operator.cluster.pods if name not in operator.cluster.tasks]
    operator.cluster.tasks.update(dict.fromkeys(silent, 0))
    await operator.after(3, tracked, Counts(0, 10))
    assert operator.replicas == 4
    operator.cluster.carry_out(DEPLOYMENT)
    await operator.until_counted()
    assert operator.victims() == {"idle": 6, "busy": 0, "unknown": 0}


async def test_a_scale_down_that_growth_overtakes_counts_only_those_that_went(operator: Operator) -> None:
    tracked = await slow_scale_down(operator, silent=1)
    operator.change(tracked, scaling={"minReplicas": 10, "scaleDown": {"stabilizationWindowSeconds": 0}})
    await operator.after(1, tracked, Counts(0, 10))
    assert operator.replicas == 10
    operator.cluster.carry_out(DEPLOYMENT)
    await operator.watches_ended()
    assert operator.victims() == {"idle": 0, "busy": 0, "unknown": 0}
    operator.change(tracked, scaling={"minReplicas": 9, "scaleDown": {"stabilizationWindowSeconds": 0}})
    await operator.after(3, tracked, Counts(0, 10))
    operator.cluster.carry_out(DEPLOYMENT)
    await operator.until_counted()
    assert operator.victims() == {"idle": 1, "busy": 0, "unknown": 0}


async def test_a_worker_without_an_answer_is_never_counted_as_busy(operator: Operator) -> None:
    """It does not answer in time, for want of processor time, and the ReplicaSet takes it all the same."""
    await slow_scale_down(operator, silent=1)
    (silent,) = operator.cluster.pods.keys() - operator.cluster.tasks.keys()
    operator.cluster.pods[silent] = replace(operator.cluster.pods[silent], deletion_cost=-9999)
    operator.cluster.carry_out(DEPLOYMENT)
    del operator.cluster.pods[silent]
    await operator.until_counted()
    assert operator.victims() == {"idle": 4, "busy": 0, "unknown": 1}


async def test_the_wrong_pod_is_logged_with_what_it_did(operator: Operator, caplog: pytest.LogCaptureFixture) -> None:
    """The ReplicaSet did not have the marks yet: it takes a worker at work."""
    await slow_scale_down(operator, silent=0)
    busy = min(operator.cluster.pods, key=lambda name: operator.cluster.pods[name].created)
    operator.cluster.pods[busy] = replace(operator.cluster.pods[busy], deletion_cost=-9999)
    operator.cluster.carry_out(DEPLOYMENT)
    await operator.until_counted()
    assert operator.victims() == {"idle": 5, "busy": 1, "unknown": 0}
    assert f"the ReplicaSet deleted {busy} (busy) instead of a pod that was marked" in caplog.text


async def test_pods_of_a_deployment_that_was_deleted_count_for_no_scale_down(operator: Operator) -> None:
    tracked = await slow_scale_down(operator, silent=0)
    for name in list(operator.cluster.pods):
        del operator.cluster.pods[name]
    operator.store.forget_target(DEPLOYMENT)
    operator.store.see_target(operator.cluster.add_deployment(DEPLOYMENT, 4))
    await operator.next_pass(tracked, Counts(0, 4))
    for _ in range(20):  # turns for a watch that may still look
        await operator.clock.sleep(0)
    await operator.until_counted()
    assert operator.victims() == {"idle": 0, "busy": 0, "unknown": 0}


async def test_a_scale_down_whose_answer_is_lost_is_counted_too(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(1, tracked, Counts(30, 0))
    operator.cluster.lost_answers = 1
    await operator.after(61, tracked, Counts(5, 6))
    assert operator.replicas == 1
    await operator.until_counted()
    assert operator.victims() == {"idle": 5, "busy": 0, "unknown": 0}


async def test_evicted_pods_are_not_awaited_among_those_that_go(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(1, tracked, Counts(30, 0))
    for number in range(3):
        operator.cluster._make_pod(DEPLOYMENT)
        name = max(operator.cluster.pods)
        evicted = replace(
            operator.cluster.pods[name], running=False, ready=False, finished=True, created=float(-number)
        )
        operator.cluster.pods[name] = evicted
    await operator.after(62, tracked, Counts(10, 6))
    assert operator.replicas == 2
    await operator.watches_ended()  # before the time to watch is over
    assert operator.victims() == {"idle": 4, "busy": 0, "unknown": 0}
