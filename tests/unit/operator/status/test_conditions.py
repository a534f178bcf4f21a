"""Conditions over several passes: their clock, and what PolicyApplied makes of Ready."""

from workqueue_operator.rabbitmq.queue_policy import Verdict, missing_management_api
from workqueue_operator.resource import WorkQueue
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.tracked import PolicyCheck, Tracked

from tests.support.passes import WORKQUEUE, Operator, body

AWAY = Unknown("Unavailable", "connection refused")


async def test_the_clock_of_a_condition_moves_only_when_it_turns(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(10, tracked, AWAY)
    first = operator.condition("QueueObserved")["lastTransitionTime"]
    await operator.after(30, tracked, Unknown("AccessRefused", "the broker refuses the password"))
    condition = operator.condition("QueueObserved")
    assert (condition["reason"], condition["lastTransitionTime"]) == ("AccessRefused", first)


def found_out(tracked: Tracked, verdict: Verdict) -> None:
    """As the loop that asks the management API leaves it."""
    assert isinstance(tracked.spec, WorkQueue)
    tracked.policy = PolicyCheck(tracked.spec.queue, tracked.spec.mode, verdict)


APPLIED = Verdict(True, "Applied", "policy workqueue.thumbnails applies")

UNAVAILABLE = Verdict(False, "ManagementApiUnavailable", "no answer")


async def test_a_limit_that_is_set_and_does_not_hold_makes_ready_false(operator: Operator) -> None:
    tracked = operator.add(queue={"maxLength": 100})
    found_out(tracked, missing_management_api())
    await operator.after(1, tracked, Counts(0, 0))
    policy, ready = operator.condition("PolicyApplied"), operator.condition("Ready")
    assert (policy["status"], policy["reason"]) == ("False", "ManagementApiMissing")
    assert "key management_uri" in policy["message"]
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", policy["reason"], policy["message"])


async def test_defaults_that_do_not_hold_are_reported_and_leave_ready_alone(operator: Operator) -> None:
    tracked = operator.add()
    found_out(tracked, missing_management_api())
    await operator.after(1, tracked, Counts(0, 0))
    assert operator.condition("PolicyApplied")["status"] == "False"
    assert operator.condition("Ready")["status"] == "True"
    assert operator.cluster.events == []


async def test_limits_in_a_dry_run_leave_ready_alone(operator: Operator) -> None:
    tracked = operator.add(mode="DryRun", queue={"maxLength": 100})
    found_out(tracked, Verdict(False, "DryRun", "not in force: max-length=100"))
    await operator.after(1, tracked, Counts(0, 0))
    assert (operator.condition("Ready")["status"], operator.condition("Ready")["reason"]) == ("True", "DryRun")


async def test_a_policy_that_stops_applying_is_an_event_and_so_is_its_return(operator: Operator) -> None:
    tracked = operator.add()
    for verdict in (APPLIED, Verdict(False, "OtherPolicy", "policy everything applies instead"), APPLIED):
        found_out(tracked, verdict)
        await operator.after(1, tracked, Counts(0, 0))
    assert [(one.type, one.reason) for one in operator.cluster.events] == [
        ("Warning", "OtherPolicy"),
        ("Normal", "Applied"),
    ]


async def test_while_the_management_api_is_away_what_was_set_is_not_known_to_be_gone(operator: Operator) -> None:
    tracked = operator.add(queue={"maxLength": 100})
    found_out(tracked, UNAVAILABLE)
    await operator.after(1, tracked, Counts(0, 0))
    assert operator.condition("Ready")["status"] == "False"  # nothing was ever set
    found_out(tracked, APPLIED)
    await operator.after(1, tracked, Counts(0, 0))
    found_out(tracked, UNAVAILABLE)
    await operator.after(20, tracked, Counts(0, 0))
    policy = operator.condition("PolicyApplied")
    assert (policy["status"], policy["reason"]) == ("Unknown", "ManagementApiUnavailable")
    assert operator.condition("Ready")["status"] == "True"


async def test_after_a_restart_the_condition_stands_until_the_operator_looked(operator: Operator) -> None:
    tracked = operator.add(queue={"maxLength": 100})
    found_out(tracked, APPLIED)
    await operator.after(1, tracked, Counts(0, 0))
    stored = operator.condition("PolicyApplied")
    restarted = Operator(cluster=operator.cluster, clock=operator.clock)
    again = restarted.add(operator.cluster.workqueues[WORKQUEUE])
    await restarted.after(20, again, Counts(0, 0))
    assert restarted.condition("PolicyApplied") == stored


async def test_a_limit_that_changed_is_not_called_applied_before_the_operator_looked(operator: Operator) -> None:
    tracked = operator.add(queue={"maxLength": 100})
    found_out(tracked, APPLIED)
    await operator.after(1, tracked, Counts(0, 0))
    changed = body(queue={"maxLength": 200})
    changed["metadata"]["generation"] = 2
    operator.store.see_workqueue(changed)
    await operator.after(1, tracked, Counts(0, 0))
    condition = operator.condition("PolicyApplied")
    assert (condition["status"], condition["reason"], condition["observedGeneration"]) == ("Unknown", "Pending", 2)


async def test_limits_hold_also_where_there_is_nothing_to_scale(operator: Operator) -> None:
    tracked = operator.add(scaleTargetRef={"name": "missing"})
    found_out(tracked, APPLIED)
    await operator.after(1, tracked, Counts(0, 0))
    assert operator.condition("PolicyApplied")["status"] == "True"
