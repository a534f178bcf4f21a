"""A size that a person gives the Deployment is held for its time; a scale of ours is never taken for one."""

from workqueue_operator.cluster.port import ClusterUnavailable
from workqueue_operator.passes.gather import MANUAL_SECONDS
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.demand import Counts

from tests.support.passes import DEPLOYMENT, Operator, body

AWAY = Unknown("Unavailable", "connection refused")


async def test_a_size_raised_by_hand_stays_for_its_time(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(70, tracked, Counts(0, 0))
    operator.store.see_target(operator.cluster._change(DEPLOYMENT, 4))
    await operator.after(MANUAL_SECONDS - 5, tracked, Counts(0, 4))
    assert operator.replicas == 4
    assert operator.status()["lastDecision"]["reason"] == "ScaledManually"
    operator.cluster._follow(operator.cluster.targets[DEPLOYMENT])
    await operator.after(70, tracked, Counts(0, 4))
    assert operator.replicas == 0
    await operator.watches_ended()


async def test_a_size_lowered_by_hand_is_held_while_the_queue_is_unknown_and_for_its_time_only() -> None:
    operator = Operator(replicas_at_start=2)
    tracked = operator.add(scaling={"minReplicas": 2})
    await operator.after(5, tracked, Counts(0, 2))
    operator.store.see_target(operator.cluster._change(DEPLOYMENT, 0))
    await operator.after(290, tracked, AWAY)
    assert (operator.replicas, operator.status()["lastDecision"]["reason"]) == (0, "ScaledManually")
    await operator.after(20, tracked, AWAY)
    assert operator.replicas == 2


async def test_a_size_changed_while_paused_is_no_size_given_by_hand(operator: Operator) -> None:
    tracked = operator.add(mode="Paused")
    await operator.after(70, tracked, Counts(0, 0))
    operator.store.see_target(operator.cluster._change(DEPLOYMENT, 4))
    await operator.after(5, tracked, Counts(0, 4))
    active = body()
    active["metadata"]["generation"] = 2
    operator.store.see_workqueue(active)
    await operator.after(5, tracked, Counts(0, 4))
    assert operator.status()["lastDecision"]["reason"] != "ScaledManually"
    await operator.watches_ended()


async def test_a_deployment_that_was_made_again_at_another_size_was_not_scaled_by_hand(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(70, tracked, Counts(0, 0))
    operator.store.forget_target(DEPLOYMENT)
    operator.store.see_target(operator.cluster.add_deployment(DEPLOYMENT, 3))
    await operator.after(5, tracked, Counts(0, 3))
    assert (operator.replicas, operator.status()["lastDecision"]["reason"]) == (0, "Steady")


async def test_a_scale_of_ours_whose_answer_is_lost_is_still_ours(operator: Operator) -> None:
    """A size given by hand would hold the new tasks up for 300 s."""
    tracked = operator.add()
    await operator.after(61, tracked, Counts(0, 0))
    await operator.after(1, tracked, Counts(30, 0))
    operator.cluster.lost_answers = 1
    await operator.after(61, tracked, Counts(0, 6))
    assert operator.replicas == 0
    await operator.after(40, tracked, Counts(500, 0))
    assert operator.replicas == 50


async def test_a_scale_of_ours_that_is_carried_out_after_all_is_still_ours(operator: Operator) -> None:
    """The Deployment was read again in between, and was unchanged."""
    tracked = operator.add()
    await operator.after(65, tracked, Counts(0, 0))
    operator.cluster.failures.append(ClusterUnavailable("no answer in time"))
    await operator.next_pass(tracked, Counts(30, 0))
    assert operator.total("cluster_errors_total", kind="unavailable") == 1
    await operator.after(2, tracked, Counts(0, 0))
    operator.store.see_target(operator.cluster._change(DEPLOYMENT, 6))
    await operator.after(40, tracked, Counts(0, 6))
    assert operator.status()["lastDecision"]["reason"] == "Stabilized"


async def test_a_refused_scale_is_not_ours_when_a_person_gives_that_size(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(65, tracked, Counts(0, 0))
    operator.cluster._change(DEPLOYMENT, 6)  # before us
    await operator.after(40, tracked, Counts(30, 0))
    assert operator.total("cluster_errors_total", kind="conflict") == 1
    await operator.after(70, tracked, Counts(0, 6))
    assert (operator.replicas, operator.status()["lastDecision"]["reason"]) == (6, "ScaledManually")
