"""What the status and Events report over several passes: nothing is lost, nothing stale stays, nothing comes twice."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from workqueue_operator.cluster.port import ClusterUnavailable, Notice
from workqueue_operator.rabbitmq.queue_policy import Verdict, missing_management_api
from workqueue_operator.resource import Key
from workqueue_operator.scaling.decision import NO_LEADER, Unknown
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.status.next_status import timestamp
from workqueue_operator.tracked import MOST_NOTICES, PolicyCheck, Tracked

from tests.support.fakes import FakeCluster
from tests.support.passes import DEPLOYMENT, WORKQUEUE, Operator, body

AWAY = Unknown("Unavailable", "connection refused")


@dataclass
class Refusing(FakeCluster):
    """A cluster that refuses some of the writes for as long as a test wants."""

    refused: set[str] = field(default_factory=set)
    #: What was written, in order: "status" or the reason of an Event.
    order: list[str] = field(default_factory=list)

    async def write_status(self, key: Key, status: Any) -> None:
        self._refuse("status")
        self.order.append("status")
        await super().write_status(key, status)

    async def post_event(self, key: Key, uid: str, notice: Notice) -> None:
        self._refuse("event")
        self.order.append(str(notice.reason))
        await super().post_event(key, uid, notice)

    def _refuse(self, what: str) -> None:
        if what in self.refused:
            raise ClusterUnavailable("429 too many requests")


async def started(**spec: Any) -> tuple[Operator, Refusing, Tracked]:
    """An operator that has watched an empty queue, on a cluster that may refuse."""
    cluster = Refusing()
    operator = Operator(cluster=cluster)
    tracked = await operator.watched(**spec)
    cluster.order.clear()
    return operator, cluster, tracked


async def test_the_status_shows_the_decision_in_numbers(operator: Operator) -> None:
    tracked = operator.add()
    await operator.next_pass(tracked, Counts(30, 0))
    status = operator.status()
    assert (status["desiredReplicas"], status["replicas"], status["messagesReady"]) == (6, 6, 30)
    assert status["lastDecision"]["reason"] == "Backlog"
    assert status["lastDecision"]["message"] == "0 -> 6: 30 ready / 5 per replica = 6"
    assert status["recentDecisions"] == [status["lastDecision"]]
    assert operator.condition("Ready")["status"] == "True"


async def test_nothing_is_written_while_nothing_changes(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(100, tracked, Counts(0, 0))
    operator.cluster.writes.clear()
    operator.cluster.events.clear()
    await operator.after(300, tracked, Counts(0, 0))
    assert operator.cluster.writes == []
    assert operator.cluster.events == []


async def test_moving_counts_are_written_every_few_seconds_only(operator: Operator) -> None:
    tracked = operator.add(mode="Paused")
    await operator.after(1, tracked, Counts(0, 1))
    operator.cluster.writes.clear()
    for ready in range(1, 21):
        await operator.after(1, tracked, Counts(ready, 1))
    assert len(operator.writes("status")) == 4


async def test_counts_of_a_queue_that_cannot_be_read_are_taken_out_of_the_status(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(1, tracked, Counts(30, 0))
    await operator.after(1, tracked, AWAY)
    assert {"messagesReady", "consumers"} & operator.status().keys() == set()


async def test_a_queue_that_is_read_again_is_reported_once(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(10, tracked, AWAY)
    await operator.after(10, tracked, Counts(0, 0))
    assert operator.condition("QueueObserved")["status"] == "True"
    assert [(one.type, one.message) for one in operator.cluster.events] == [
        ("Warning", "connection refused"),
        ("Normal", "QueueObserved again"),
    ]


@pytest.mark.parametrize(
    ("at_last", "wanted"),
    [(Counts(0, 0), ["connection refused", "QueueObserved again"]), (AWAY, ["connection refused"])],
    ids=["recovered", "still broken"],
)
async def test_what_is_unknown_for_a_while_hides_no_recovery_and_repeats_no_warning(
    operator: Operator, at_last: Counts | Unknown, wanted: list[str]
) -> None:
    tracked = operator.add()
    await operator.after(10, tracked, AWAY)
    operator.change(tracked, scaling={"minReplicas": 5, "maxReplicas": 2})  # no pass looks at the queue
    await operator.after(10, tracked, Counts(0, 0))
    assert operator.condition("QueueObserved")["status"] == "Unknown"
    operator.change(tracked)
    await operator.after(10, tracked, at_last)
    assert [one.message for one in operator.cluster.events if one.message in wanted] == wanted


async def test_a_dry_run_scale_down_is_reported_once(operator: Operator) -> None:
    operator.store.see_target(operator.cluster.add_deployment(DEPLOYMENT, 4))
    tracked = operator.add(mode="DryRun")
    await operator.after(61, tracked, Counts(0, 4))
    assert [one.reason for one in operator.cluster.events] == ["BacklogDrained"]
    operator.cluster.events.clear()
    operator.cluster.writes.clear()
    await operator.after(20, tracked, Counts(0, 4))
    assert (operator.cluster.events, operator.cluster.writes) == ([], [])


async def test_a_refused_event_is_posted_later_and_once() -> None:
    operator, cluster, tracked = await started()
    cluster.refused = {"event"}
    await operator.after(3, tracked, Counts(30, 0))
    assert (operator.replicas, operator.event_reasons) == (6, [])
    cluster.refused = set()
    await operator.after(100, tracked, Counts(30, 6))
    assert operator.event_reasons == ["Backlog"]
    assert cluster.events[0].message == "0 -> 6: 30 ready / 5 per replica = 6"


async def test_a_refused_status_still_gets_the_change_and_comes_before_its_event() -> None:
    operator, cluster, tracked = await started()
    cluster.refused = {"status"}
    await operator.after(1, tracked, Counts(30, 0))
    cluster.refused = set()
    await operator.after(100, tracked, Counts(30, 6))
    (change,) = operator.status()["recentDecisions"]
    assert (change["reason"], change["message"]) == ("Backlog", "0 -> 6: 30 ready / 5 per replica = 6")
    assert cluster.order[:2] == ["status", "Backlog"]
    assert operator.event_reasons == ["Backlog"]


async def test_a_change_is_dated_when_it_was_made_not_when_it_could_be_written() -> None:
    operator, cluster, tracked = await started()
    cluster.refused = {"status"}
    await operator.after(1, tracked, Counts(30, 0))
    await operator.after(60, tracked, Counts(30, 6))
    made = timestamp(operator.clock.wall() - 60)
    cluster.refused = set()
    await operator.after(60, tracked, Counts(30, 6))
    (change,) = operator.status()["recentDecisions"]
    assert change["time"] == made


async def test_a_condition_that_turned_while_events_were_refused_is_reported_later() -> None:
    operator, cluster, tracked = await started()
    cluster.refused = {"event"}
    await operator.after(10, tracked, AWAY)
    await operator.after(60, tracked, Counts(0, 0))
    cluster.refused = set()
    await operator.after(60, tracked, Counts(0, 0))
    assert [(one.type, str(one.reason)) for one in cluster.events] == [
        ("Warning", "Unavailable"),
        ("Normal", "Observed"),
    ]


async def test_of_events_that_are_refused_for_long_the_latest_are_kept() -> None:
    operator, cluster, tracked = await started()
    cluster.refused = {"event"}
    for change in range(40):
        tracked.notices.append(Notice("Backlog", f"change {change}"))
    await operator.after(1, tracked, Counts(0, 0))
    cluster.refused = set()
    await operator.after(60, tracked, Counts(0, 0))
    assert [one.message for one in cluster.events] == [f"change {change}" for change in range(40 - MOST_NOTICES, 40)]


async def test_a_spec_that_cannot_be_used_is_reported_once() -> None:
    """Ready is False for the same reason; one Event is enough for both."""
    operator = Operator()
    await operator.after(5, operator.add(scaling={"minReplicas": 5, "maxReplicas": 2}), Counts(30, 0))
    assert [(one.type, one.reason) for one in operator.cluster.events] == [("Warning", "InvalidSpec")]


async def test_no_event_while_nothing_changes() -> None:
    operator, cluster, tracked = await started()
    await operator.after(1, tracked, Counts(30, 0))
    cluster.events.clear()
    for ready in range(300):
        await operator.after(1, tracked, Counts(26 + ready % 5, 6))
    assert cluster.events == []


async def test_the_last_ten_changes_stay_in_the_status_with_their_numbers() -> None:
    operator, _, tracked = await started()
    for change in range(1, 13):
        await operator.after(1, tracked, Counts(5 * change, change))
    recent = operator.status()["recentDecisions"]
    assert [(one["replicas"], one["message"]) for one in recent] == [
        (size, f"{size - 1} -> {size}: {5 * size} ready / 5 per replica = {size}") for size in range(12, 2, -1)
    ]


async def test_an_idle_queue_with_a_time_to_drain_is_written_about_no_more() -> None:
    """The rates fade for hours; their last digits are news to no user."""
    operator = Operator()
    tracked = operator.add(scaling={"drainSeconds": 60})
    for step in range(24):
        operator.measured(tracked, published=50 * step, acked=50 * step, redelivered=0, in_progress=10)
    for step in range(720):
        operator.measured(tracked, published=50 * 23, acked=50 * 23, redelivered=0, in_progress=0)
        reading = Counts(0, operator.replicas, tracked.estimate.rates(operator.clock.now), messages_unacknowledged=0)
        await operator.one_pass(tracked, reading)
        if step == 60:
            operator.cluster.writes.clear()
    assert operator.replicas == 0
    assert operator.writes("status") == []
    assert "x (0 new/s + 0 ready / 60 s) = 0" in str(tracked.memory.reported.decision)


async def test_a_sentence_whose_numbers_alone_move_is_not_written() -> None:
    operator, cluster, tracked = await started()
    await operator.after(10, tracked, Unknown("Unavailable", "no answer within 1.5 s, try 1"))
    cluster.writes.clear()
    for attempt in range(100):
        await operator.after(1, tracked, Unknown("Unavailable", f"no answer within {attempt / 7:.3g} s, try {attempt}"))
    assert operator.writes("status") == []
    await operator.after(6, tracked, Unknown("Unavailable", "connection refused"))
    assert len(operator.writes("status")) == 1


async def test_of_a_queue_that_cannot_be_read_no_number_is_shown() -> None:
    operator = Operator(replicas_at_start=2)
    tracked = operator.add()
    operator.cluster.tasks.update(dict.fromkeys(operator.cluster.pods, 1))
    await operator.after(70, tracked, Counts(0, 2, messages_unacknowledged=2))
    shown = operator.status()
    assert (shown["messagesUnacknowledged"], shown["tasksInProgress"]) == (2, 2)
    await operator.after(1, tracked, AWAY)
    for name in ("messagesReady", "consumers", "messagesUnacknowledged", "tasksInProgress"):
        assert operator.status().get(name) is None


async def test_tasks_in_progress_are_shown_only_while_a_scale_down_waits_for_them() -> None:
    operator = Operator(replicas_at_start=2)
    tracked = operator.add()
    operator.cluster.tasks.update(dict.fromkeys(operator.cluster.pods, 1))
    await operator.after(70, tracked, Counts(0, 2))
    assert operator.status()["tasksInProgress"] == 2
    await operator.after(10, tracked, Counts(10, 2))
    assert operator.status().get("tasksInProgress") is None


async def test_where_nothing_is_decided_no_old_decision_is_shown() -> None:
    operator, _, tracked = await started()
    await operator.after(1, tracked, Counts(30, 0))
    assert operator.number("desired_replicas") == 6
    operator.cluster.autoscalers[DEPLOYMENT] = "cpu"
    await operator.after(61, tracked, Counts(30, 6))
    status = operator.status()
    for name in ("lastDecision", "desiredReplicas", "replicas"):
        assert status.get(name) is None
    assert (status["messagesReady"], status["consumers"]) == (30, 6)
    assert len(status["recentDecisions"]) == 1
    assert operator.number("desired_replicas") is None


def restarted(operator: Operator) -> tuple[Operator, Tracked]:
    """Another operator on the same cluster: it knows what the API server has and nothing else."""
    after = Operator(cluster=operator.cluster, clock=operator.clock, replicas_at_start=None)
    for target in operator.cluster.targets.values():
        after.store.see_target(target)
    return after, after.add(operator.cluster.workqueues[WORKQUEUE])


def reported(operator: Operator, *names: str) -> list[tuple[str, str]]:
    """The Events about these conditions, as type and reason."""
    return [(one.type, str(one.reason)) for one in operator.cluster.events if one.condition in names]


async def test_a_queue_without_a_leader_for_a_moment_after_a_restart_of_the_broker_hides_no_recovery() -> None:
    operator, _, tracked = await started()
    await operator.after(3, tracked, AWAY)
    await operator.after(3, tracked, Unknown(NO_LEADER, "0 messages and 0 consumers, and no leader"))
    assert operator.condition("QueueObserved")["status"] == "Unknown"
    await operator.after(10, tracked, Counts(0, 0))
    assert reported(operator, "QueueObserved") == [("Warning", "Unavailable"), ("Normal", "Observed")]


async def test_a_recovery_is_reported_by_the_next_operator_though_the_condition_was_unknown_at_the_restart() -> None:
    operator, _, tracked = await started()
    await operator.after(3, tracked, AWAY)
    await operator.after(3, tracked, Unknown(NO_LEADER, "0 messages and 0 consumers, and no leader"))
    assert operator.status()["openWarnings"] == ["QueueObserved"]
    operator, tracked = restarted(operator)
    await operator.after(10, tracked, Counts(0, 0))
    assert reported(operator, "QueueObserved") == [("Warning", "Unavailable"), ("Normal", "Observed")]
    assert operator.status().get("openWarnings") is None
    operator, tracked = restarted(operator)
    await operator.after(10, tracked, Counts(0, 0))
    assert len(reported(operator, "QueueObserved")) == 2


async def test_a_recovery_whose_event_was_refused_until_the_restart_is_reported_by_the_next_operator() -> None:
    operator, cluster, tracked = await started()
    await operator.after(3, tracked, AWAY)
    cluster.refused = {"event"}
    await operator.after(60, tracked, Counts(0, 0))
    assert operator.condition("QueueObserved")["status"] == "True"
    cluster.refused = set()
    operator, tracked = restarted(operator)
    await operator.after(10, tracked, Counts(0, 0))
    assert reported(operator, "QueueObserved") == [("Warning", "Unavailable"), ("Normal", "Observed")]


async def test_a_recovery_that_a_full_queue_of_events_dropped_is_reported_all_the_same() -> None:
    operator, cluster, tracked = await started()
    await operator.after(3, tracked, AWAY)
    cluster.refused = {"event"}
    await operator.after(3, tracked, Counts(0, 0))
    for change in range(MOST_NOTICES):
        tracked.notices.append(Notice("Backlog", f"change {change}"))
    cluster.refused = set()
    await operator.after(100, tracked, Counts(0, 0))
    assert reported(operator, "QueueObserved") == [("Warning", "Unavailable"), ("Normal", "Observed")]


@pytest.mark.parametrize("between", [{"mode": "Paused"}, None], ids=["paused before", "active before"])
async def test_a_spec_that_cannot_be_used_and_is_corrected_is_reported_as_over(between: dict[str, str] | None) -> None:
    """ScalingActive was False before for a reason that the user chose, or it was True."""
    operator, _, tracked = await started()
    if between:
        operator.change(tracked, **between)
        await operator.after(2, tracked, Counts(0, 0))
    operator.change(tracked, scaling={"minReplicas": 5, "maxReplicas": 2})
    await operator.after(2, tracked, Counts(0, 0))
    operator.change(tracked)
    await operator.after(2, tracked, Counts(0, 0))
    assert reported(operator, "ScalingActive") == [("Warning", "InvalidSpec"), ("Normal", "Active")]


async def test_a_dispute_is_reported_as_over_once_and_not_while_no_pass_looks_at_it() -> None:
    operator, _, tracked = await started()
    tracked.sharers = (Key("team", "mails"),)
    await operator.after(2, tracked, Counts(0, 0))
    operator.change(tracked, scaling={"minReplicas": 5, "maxReplicas": 2})
    await operator.after(2, tracked, Counts(0, 0))
    operator.change(tracked)
    await operator.after(2, tracked, Counts(0, 0))
    assert reported(operator, "Exclusive") == [("Warning", "QueueShared")]
    tracked.sharers = ()
    await operator.after(20, tracked, Counts(0, 0))
    assert reported(operator, "Exclusive") == [("Warning", "QueueShared"), ("Normal", "Exclusive")]


async def test_a_dispute_is_not_reported_as_over_by_an_operator_that_just_started() -> None:
    """It does not know yet which WorkQueues share the queue, nor the policy's consumer timeout."""
    operator, _, tracked = await started(taskTimeoutSeconds=600)
    tracked.sharers, tracked.consumer_timeout = (Key("team", "mails"),), 60.0
    await operator.after(2, tracked, Counts(0, 0))
    operator, tracked = restarted(operator)
    await operator.after(10, tracked, Counts(0, 0))
    assert operator.status()["openWarnings"] == ["Exclusive", "TasksFit"]
    tracked.sharers, tracked.consumer_timeout = (Key("team", "mails"),), 60.0
    await operator.after(2, tracked, Counts(0, 0))
    tracked.sharers, tracked.consumer_timeout = (), None
    await operator.after(10, tracked, Counts(0, 0))
    assert reported(operator, "Exclusive") == [("Warning", "QueueShared"), ("Normal", "Exclusive")]
    assert reported(operator, "TasksFit") == [("Warning", "ConsumerTimeoutTooShort"), ("Normal", "TasksFit")]


async def test_what_is_open_costs_one_more_status_and_no_write_after_that() -> None:
    operator, cluster, tracked = await started()
    await operator.after(10, tracked, AWAY)
    before = cluster.order.count("status")
    await operator.after(60, tracked, AWAY)
    assert cluster.order.count("status") == before
    await operator.after(60, tracked, Counts(0, 0))
    assert cluster.order.count("status") == before + 2


async def test_a_warning_is_made_by_the_first_reason_and_not_again_by_the_next() -> None:
    operator, _, tracked = await started()
    await operator.after(3, tracked, AWAY)
    await operator.after(3, tracked, Unknown("AccessRefused", "refused"))
    await operator.after(10, tracked, Counts(0, 0))
    assert reported(operator, "QueueObserved") == [("Warning", "Unavailable"), ("Normal", "Observed")]


async def test_a_workqueue_that_was_deleted_and_made_again_has_nothing_open() -> None:
    operator, _, tracked = await started()
    await operator.after(3, tracked, AWAY)
    operator.store.forget_workqueue(WORKQUEUE)
    tracked = operator.add({**body(), "metadata": {**body()["metadata"], "uid": "another"}})
    await operator.after(10, tracked, Counts(0, 0))
    assert reported(operator, "QueueObserved") == [("Warning", "Unavailable")]


async def test_a_policy_that_was_only_silent_is_not_reported_as_over() -> None:
    """Without a management API PolicyApplied is False, and no Event said so."""
    operator, _, tracked = await started()
    for verdict in (missing_management_api(), Verdict(True, "Applied", "the policy applies")):
        assert tracked.workqueue
        tracked.policy = PolicyCheck(tracked.workqueue.queue, tracked.workqueue.mode, verdict)
        await operator.after(10, tracked, Counts(0, 0))
    assert operator.condition("PolicyApplied")["status"] == "True"
    assert operator.event_reasons == []
