"""What people are told over several passes: nothing is lost, nothing stale stays, nothing is told twice."""

from dataclasses import dataclass, field, replace
from typing import Any

from workqueue_operator.cluster.port import ClusterUnavailable, Notice
from workqueue_operator.resource import Key
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.status.next_status import timestamp
from workqueue_operator.store import MOST_NOTICES, Tracked

from tests.support.fakes import FakeCluster
from tests.support.passes import DEPLOYMENT, Operator, body

AWAY = Unknown("Unavailable", "connection refused")


@dataclass
class Refusing(FakeCluster):
    """A cluster that refuses some of the writes for as long as it is told to."""

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


async def started() -> tuple[Operator, Refusing, Tracked]:
    """An operator that has watched an empty queue, on a cluster that may refuse."""
    cluster = Refusing()
    operator = Operator(cluster=cluster)
    tracked = operator.add()
    await operator.after(61, tracked, Counts(0, 0))
    cluster.order.clear()
    return operator, cluster, tracked


async def test_a_refused_event_is_posted_later_and_once() -> None:
    operator, cluster, tracked = await started()
    cluster.refused = {"event"}
    await operator.after(3, tracked, Counts(30, 0))
    assert (operator.replicas, operator.told) == (6, [])
    cluster.refused = set()
    await operator.after(100, tracked, Counts(30, 6))
    assert operator.told == ["Backlog"]
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
    assert operator.told == ["Backlog"]


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


async def test_a_condition_that_turned_while_events_were_refused_is_told_later() -> None:
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


async def test_a_spec_that_cannot_be_used_is_told_once() -> None:
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
    """The rates fade for hours; their last digits are news to nobody."""
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
    assert "x (0 new/s + 0 ready / 60 s) = 0" in str(tracked.memory.decision)


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


async def test_tasks_in_progress_are_shown_only_while_a_shrink_waits_for_them() -> None:
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
    """What it knew last stands in the status: counts, or that nobody knew."""
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
    operator, cluster, tracked = await started()
    await operator.after(1, tracked, Counts(30, 0), period=0.2)
    await operator.after(63, tracked, Counts(0, 6), period=0.2)
    assert operator.replicas == 0
    operator.ready(6)
    await operator.after(3, tracked, Counts(0, 0), period=0.2)
    operator.ready(0)
    await operator.after(60, tracked, Counts(0, 0), period=0.2)
    assert operator.told == ["Backlog", "BacklogDrained"]
    assert [one.type for one in cluster.events] == ["Normal", "Normal"]
    await operator.reconciler.wait()


async def test_an_emptied_queue_whose_workers_do_not_run_goes_to_zero_by_hand() -> None:
    """Nobody can tell it from a lost leader; a person can."""
    operator = Operator(replicas_at_start=4)
    tracked = operator.add()
    await operator.after(70, tracked, Counts(20, 4))
    operator.ready(0)
    await operator.after(60, tracked, Counts(0, 0))
    operator.store.see_target(operator.cluster._change(DEPLOYMENT, 0))
    await operator.after(2, tracked, Counts(0, 0))
    assert (operator.replicas, operator.condition("QueueObserved")["status"]) == (0, "True")


async def test_after_an_hour_without_passes_a_whole_window_is_watched_first() -> None:
    operator, _, tracked = await started()
    await operator.after(1, tracked, Counts(30, 0))
    operator.clock.advance(3600)
    await operator.after(59, tracked, Counts(0, 6))
    assert (operator.replicas, operator.status()["lastDecision"]["reason"]) == (6, "FirstWindow")
    await operator.after(5, tracked, Counts(0, 6))
    assert operator.replicas == 0
    await operator.reconciler.wait()


async def test_a_window_that_is_raised_is_watched_before_anyone_goes() -> None:
    operator = Operator(replicas_at_start=6)
    tracked = operator.add(scaling={"scaleDown": {"stabilizationWindowSeconds": 0}})
    await operator.after(300, tracked, Counts(30, 6))
    operator.cluster.tasks.update(dict.fromkeys(operator.cluster.pods, 1))
    await operator.after(10, tracked, Counts(0, 6))
    operator.cluster.tasks.update(dict.fromkeys(operator.cluster.pods, 0))
    raised = body(scaling={"scaleDown": {"stabilizationWindowSeconds": 600}})
    raised["metadata"]["generation"] = 2
    operator.store.see_workqueue(raised)
    await operator.after(599, tracked, Counts(0, 6))
    assert operator.replicas == 6
    await operator.after(5, tracked, Counts(0, 6))
    assert operator.replicas == 0
    await operator.reconciler.wait()


async def test_a_size_lowered_by_hand_is_held_while_the_queue_is_unknown_and_for_its_time_only() -> None:
    operator = Operator(replicas_at_start=2)
    tracked = operator.add(scaling={"minReplicas": 2})
    await operator.after(5, tracked, Counts(0, 2))
    operator.store.see_target(operator.cluster._change(DEPLOYMENT, 0))
    await operator.after(290, tracked, AWAY)
    assert (operator.replicas, operator.status()["lastDecision"]["reason"]) == (0, "ScaledManually")
    await operator.after(20, tracked, AWAY)
    assert operator.replicas == 2


async def test_tasks_that_only_come_back_stop_growth_until_one_is_acked() -> None:
    operator, _, tracked = await started()
    await operator.after(1, tracked, Counts(1, 0))
    for redelivered in (0, 2, 4):
        operator.measured(tracked, published=10, acked=5, redelivered=redelivered, in_progress=1)
    await operator.after(5, tracked, Counts(100, 1))
    assert (operator.replicas, operator.status()["lastDecision"]["reason"]) == (1, "WorkersFailing")
    assert operator.condition("WorkersHealthy")["status"] == "False"
    assert operator.told == ["Backlog", "WorkersFailing"]
    operator.measured(tracked, published=10, acked=6, redelivered=4, in_progress=1)
    await operator.after(2, tracked, Counts(100, 1))
    assert (operator.replicas, operator.condition("WorkersHealthy")["status"]) == (20, "True")
    assert operator.told == ["Backlog", "WorkersFailing", "Backlog", "Healthy"]


async def test_with_no_worker_left_one_is_tried_although_tasks_only_came_back() -> None:
    operator, _, tracked = await started()
    for redelivered in (0, 30, 60):
        operator.measured(tracked, published=70, acked=0, redelivered=redelivered, in_progress=0)
    await operator.after(5, tracked, Counts(100, 0))
    assert (operator.replicas, operator.status()["lastDecision"]["reason"]) == (1, "WorkersFailing")


async def test_redeliveries_of_long_ago_stop_no_growth() -> None:
    operator, _, tracked = await started()
    for redelivered in (0, 6):
        operator.measured(tracked, published=10, acked=0, redelivered=redelivered, in_progress=1)
    for _ in range(720):
        operator.measured(tracked, published=10, acked=0, redelivered=6, in_progress=0)
    await operator.after(1, tracked, Counts(100, 0))
    assert operator.replicas == 20


async def test_a_crash_loop_stops_growth_also_between_two_crashes() -> None:
    """Its pods wait, run, are Ready and crash by turns; the breaker stays shut."""
    operator, cluster, tracked = await started()
    await operator.after(1, tracked, Counts(10, 0))
    for turn in range(2, 12):
        for seconds, trouble, ready in ((10, "CrashLoopBackOff", 0), (10, "", 0), (10, "", 2)):
            for name, pod in list(cluster.pods.items()):
                cluster.pods[name] = replace(pod, trouble=trouble, running=not trouble, restarts=turn)
            operator.ready(ready)
            await operator.after(seconds, tracked, Counts(100, ready))
            assert operator.replicas == 2
    assert operator.told.count("WorkersFailing") == 1
    assert operator.told.count("Healthy") == 0


async def test_after_a_crash_loop_growth_goes_on() -> None:
    operator, cluster, tracked = await started()
    await operator.after(1, tracked, Counts(10, 0))
    for name, pod in list(cluster.pods.items()):
        cluster.pods[name] = replace(pod, trouble="CrashLoopBackOff", running=False, restarts=5)
    operator.ready(0)
    await operator.after(10, tracked, Counts(100, 0))
    assert operator.condition("WorkersHealthy")["message"] == "2 of 2 pods fail: CrashLoopBackOff"
    for name, pod in list(cluster.pods.items()):
        cluster.pods[name] = replace(pod, trouble="", running=True)
    operator.ready(2)
    await operator.after(70, tracked, Counts(100, 2))
    assert (operator.replicas, operator.condition("WorkersHealthy")["status"]) == (20, "True")


async def test_while_all_workers_are_well_nobody_looks_at_their_pods() -> None:
    operator = Operator(cluster=Looking(), replicas_at_start=4)
    tracked = operator.add()
    await operator.after(300, tracked, Counts(20, 4))
    assert operator.cluster.looks == 0  # type: ignore[attr-defined]


@dataclass
class Looking(FakeCluster):
    """Counts how often pods are listed."""

    looks: int = 0

    async def read_pods(self, target: Any) -> Any:
        self.looks += 1
        return await super().read_pods(target)
