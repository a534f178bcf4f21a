"""A queue that has lost its leader is unknown, not empty: its workers stay."""

from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.demand import Counts

from tests.support.passes import DEPLOYMENT, Operator, body

AWAY = Unknown("Unavailable", "connection refused")


async def test_a_queue_without_a_leader_has_no_number_in_the_metrics() -> None:
    operator = Operator(replicas_at_start=4)
    tracked = operator.add()
    await operator.after(1, tracked, Counts(7, 4))
    assert (operator.number("messages_ready"), operator.number("queue_observed")) == (7, 1)
    await operator.after(1, tracked, Counts(0, 0))
    assert (operator.number("messages_ready"), operator.number("queue_observed")) == (None, 0)


async def test_a_leader_that_is_lost_for_long_costs_no_worker() -> None:
    """The workers lose their consumers with it, and are Ready no more."""
    operator = Operator(replicas_at_start=4)
    tracked = operator.add()
    await operator.after(70, tracked, Counts(20, 4))
    operator.ready(0)
    await operator.after(900, tracked, Counts(0, 0))
    assert operator.replicas == 4
    assert operator.condition("QueueObserved")["reason"] == "NoLeader"
    operator.ready(4)
    await operator.after(1, tracked, Counts(20, 4))
    assert operator.condition("Ready")["status"] == "True"


async def test_an_operator_that_starts_while_the_leader_is_lost_holds_the_workers_too() -> None:
    """What it knew last stands in the status: counts, or that the counts were unknown."""
    for last in (Counts(20, 4), AWAY):
        before = Operator(replicas_at_start=4)
        await before.after(2, before.add(), last)
        after = Operator(replicas_at_start=4)
        tracked = after.add({**body(), "status": before.status()})
        after.ready(0)
        await after.after(600, tracked, Counts(0, 0))
        assert after.replicas == 4
        assert after.condition("QueueObserved")["reason"] == "NoLeader"


async def test_a_step_to_zero_is_no_lost_leader() -> None:
    """The consumers go at once, the Deployment counts its Ready workers for a while longer."""
    operator = Operator()
    tracked = await operator.watched()
    operator.period = 0.2
    await operator.after(1, tracked, Counts(30, 0))
    await operator.after(63, tracked, Counts(0, 6))
    assert operator.replicas == 0
    operator.ready(6)
    await operator.after(3, tracked, Counts(0, 0))
    operator.ready(0)
    await operator.after(60, tracked, Counts(0, 0))
    assert operator.event_reasons == ["Backlog", "BacklogDrained"]
    assert [one.type for one in operator.cluster.events] == ["Normal", "Normal"]
    await operator.watches_ended()


async def test_an_emptied_queue_whose_workers_do_not_run_goes_to_zero_by_hand() -> None:
    """The operator cannot distinguish it from a lost leader; a person can."""
    operator = Operator(replicas_at_start=4)
    tracked = operator.add()
    await operator.after(70, tracked, Counts(20, 4))
    operator.ready(0)
    await operator.after(60, tracked, Counts(0, 0))
    operator.store.see_target(operator.cluster._change(DEPLOYMENT, 0))
    await operator.after(2, tracked, Counts(0, 0))
    assert (operator.replicas, operator.condition("QueueObserved")["status"]) == (0, "True")
