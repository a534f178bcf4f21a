"""The decision, rule by rule."""

from dataclasses import replace
from typing import Any

import pytest
from workqueue_operator.resource import Fallback, ScalingPolicy
from workqueue_operator.scaling.decision import ManualSize, Reason, ScalingDecision, Situation, Unknown, Workers, decide
from workqueue_operator.scaling.demand import Counts, Rates
from workqueue_operator.scaling.history import History

from tests.support.strategies import watch

POLICY = ScalingPolicy(min_replicas=0, max_replicas=50, messages_per_replica=5, scale_down_stabilization_seconds=60)
AWAY = Unknown("Unavailable", "connection refused")
NOW = 10_000.0
#: A history that has watched a quiet queue for longer than every window here.
QUIET = watch(History(), NOW - 1000, NOW, 0)


def decided(
    reading: Counts | Unknown,
    workers: Workers,
    history: History = QUIET,
    policy: ScalingPolicy = POLICY,
    **more: Any,
) -> ScalingDecision:
    return decide(policy, Situation(reading, workers, **more), history, NOW)


def ready(messages: int, consumers: int = 1) -> Counts:
    return Counts(messages, consumers)


def test_nothing_waiting_and_no_worker_is_steady() -> None:
    assert decided(ready(0, 0), Workers(0, 0)).reason is Reason.STEADY


def test_one_message_wakes_one_worker() -> None:
    decision = decided(ready(1), Workers(0, 0))
    assert (decision.replicas, decision.reason) == (1, Reason.BACKLOG)


def test_a_burst_is_answered_in_one_step() -> None:
    decision = decided(ready(30), Workers(0, 0))
    assert (decision.replicas, decision.reason) == (6, Reason.BACKLOG)
    assert decision.message == "0 -> 6: 30 ready / 5 per replica = 6"


def test_part_of_a_workers_share_needs_a_whole_worker() -> None:
    assert decided(ready(31), Workers(0, 0)).replicas == 7


def test_max_replicas_bounds_the_size() -> None:
    decision = decided(ready(10_000), Workers(0, 0))
    assert decision.replicas == 50
    assert decided(ready(10_000), Workers(50, 50)).reason is Reason.AT_MAX_REPLICAS


def test_min_replicas_is_kept_without_any_message() -> None:
    policy = replace(POLICY, min_replicas=3)
    lifted = decided(ready(0), Workers(0, 0), policy=policy)
    assert (lifted.replicas, lifted.reason) == (3, Reason.AT_MIN_REPLICAS)
    assert decided(ready(0), Workers(3, 3), policy=policy).reason is Reason.AT_MIN_REPLICAS


def test_max_step_limits_growth() -> None:
    policy = replace(POLICY, scale_up_max_step=4)
    decision = decided(ready(100), Workers(2, 2), policy=policy)
    assert (decision.replicas, decision.wanted, decision.reason) == (6, 20, Reason.STEP_LIMITED)


def test_an_unknown_queue_holds_the_workers() -> None:
    decision = decided(AWAY, Workers(7, 7))
    assert (decision.replicas, decision.reason) == (7, Reason.QUEUE_UNKNOWN)
    assert "connection refused" in decision.message


def test_an_unknown_queue_still_gets_min_replicas() -> None:
    assert decided(AWAY, Workers(0, 0), policy=replace(POLICY, min_replicas=2)).replicas == 2


@pytest.mark.parametrize("current", [0, 1])
def test_fallback_lifts_the_workers_once_the_queue_was_unknown_for_long(current: int) -> None:
    policy = replace(POLICY, fallback=Fallback(after_seconds=60, replicas=2))
    since = History().remember(NOW - 60, current, 60, known=False)
    assert decided(AWAY, Workers(current, current), since, policy).replicas == 2
    just_before = History().remember(NOW - 59, current, 60, known=False)
    assert decided(AWAY, Workers(current, current), just_before, policy).reason is Reason.QUEUE_UNKNOWN


def test_fallback_never_lowers() -> None:
    policy = replace(POLICY, fallback=Fallback(after_seconds=60, replicas=2))
    since = History().remember(NOW - 600, 9, 60, known=False)
    decision = decided(AWAY, Workers(9, 9), since, policy)
    assert (decision.replicas, decision.reason) == (9, Reason.FALLBACK)


def test_nothing_ready_and_no_consumers_while_workers_are_ready_is_unknown() -> None:
    """A quorum queue without a leader answers 0 and 0."""
    decision = decided(Counts(0, 0), Workers(4, 4, removable=4))
    assert (decision.replicas, decision.reason) == (4, Reason.QUEUE_UNKNOWN)


def test_a_new_queue_whose_workers_do_not_run_yet_is_empty() -> None:
    assert decided(Counts(0, 0), Workers(4, 0, removable=4)).replicas == 0


@pytest.mark.parametrize("last", [Counts(0, 4), Counts(100, 4)])
def test_a_queue_in_use_that_shows_nothing_at_once_is_unknown(last: Counts) -> None:
    """The workers lost their consumers with the leader, and so are not Ready."""
    decision = decided(Counts(0, 0), Workers(4, 0, removable=4), QUIET.saw(last))
    assert (decision.replicas, decision.reason) == (4, Reason.QUEUE_UNKNOWN)
    assert "scale the Deployment to 0" in decision.message


@pytest.mark.parametrize("ready_still", [0, 4])
def test_after_the_step_to_zero_zero_messages_and_consumers_is_an_empty_queue(ready_still: int) -> None:
    """The consumers are gone before the Deployment counts its workers as gone."""
    decision = decided(Counts(0, 0), Workers(0, ready_still), QUIET.saw(Counts(0, 4)))
    assert (decision.replicas, decision.reason) == (0, Reason.STEADY)


def test_workers_that_never_consumed_lost_no_consumer_with_a_leader() -> None:
    assert decided(Counts(0, 0), Workers(4, 0, removable=4), QUIET.saw(Counts(100, 0), ready=0)).replicas == 0
    assert decided(Counts(0, 0), Workers(4, 0, removable=4), QUIET.saw(Counts(100, 0), ready=4)).replicas == 4
    consumed = QUIET.saw(Counts(100, 4), ready=4).saw(Counts(100, 0), ready=0)
    assert decided(Counts(0, 0), Workers(4, 0, removable=4), consumed).replicas == 4


def test_a_queue_that_is_known_to_have_a_leader_is_empty() -> None:
    known = Counts(0, 0, has_leader=True)
    assert decided(known, Workers(4, 4, removable=4), QUIET.saw(Counts(0, 4))).replicas == 0


def test_a_queue_that_was_empty_before_its_workers_started_is_empty_while_they_start() -> None:
    history = QUIET.saw(Counts(100, 4)).saw(Counts(0, 0))
    assert decided(Counts(0, 0), Workers(4, 0, removable=4), history).replicas == 0


def test_the_window_holds_the_highest_wish() -> None:
    history = watch(watch(QUIET, NOW - 60, NOW - 58, 8), NOW - 58, NOW, 0)
    decision = decided(ready(0), Workers(8, 8, removable=8), history)
    assert (decision.replicas, decision.reason) == (8, Reason.STABILIZED)


def test_after_the_window_the_workers_go_in_one_step_to_zero() -> None:
    decision = decided(ready(0), Workers(8, 8, removable=8))
    assert (decision.replicas, decision.reason) == (0, Reason.DRAINED)


def test_the_step_down_stops_at_the_windows_highest_wish() -> None:
    history = watch(watch(QUIET, NOW - 30, NOW - 29, 5), NOW - 29, NOW, 0)
    assert decided(ready(0), Workers(8, 8, removable=8), history).replicas == 5


def test_no_scale_down_before_a_whole_window_was_watched() -> None:
    history = watch(History(), NOW - 59, NOW, 0)
    decision = decided(ready(0), Workers(8, 8, removable=8), history)
    assert (decision.replicas, decision.reason) == (8, Reason.FIRST_WINDOW)


def test_an_outage_counts_as_a_wish_for_what_is_there() -> None:
    """What was wanted during the outage is not known, so the window starts again after it."""
    history = watch(watch(QUIET, NOW - 30, NOW - 29, 8, known=False), NOW - 29, NOW, 0)
    assert decided(ready(0), Workers(8, 8, removable=8), history).replicas == 8


def test_no_scale_down_during_a_rollout() -> None:
    decision = decided(ready(0), Workers(8, 8, rolling_out=True, removable=8))
    assert (decision.replicas, decision.reason) == (8, Reason.ROLLOUT)


def test_growth_goes_on_during_a_rollout() -> None:
    assert decided(ready(100), Workers(8, 8, rolling_out=True)).replicas == 20


def test_workers_that_were_not_asked_stay_and_are_not_called_busy() -> None:
    decision = decided(ready(0), Workers(8, 8, removable=None))
    assert (decision.replicas, decision.reason, decision.ask_workers) == (8, Reason.WORKERS_NOT_ASKED, True)


def test_only_idle_workers_go() -> None:
    decision = decided(ready(0), Workers(8, 8, removable=3, busy=5))
    assert (decision.replicas, decision.reason, decision.ask_workers) == (5, Reason.WORKERS_BUSY, False)
    can_go = "3 of 8 can go without stopping a worker at work"
    assert decision.message == f"8 -> 5, 0 would do: 5 at work, {can_go}; the queue asks: 0 ready / 5 per replica = 0"


def test_a_size_on_the_way_down_says_why_it_is_not_what_the_queue_asks_for() -> None:
    """Within the window more was asked for, or minReplicas bounds it."""
    history = watch(watch(History(), NOW - 1000, NOW - 30, 8), NOW - 30, NOW, 6)
    drained = decided(ready(30), Workers(12, 12, removable=12), history)
    asks = "the queue asks now: 30 ready / 5 per replica = 6"
    assert drained.message == f"12 -> 8, asked for within the last 60 s; {asks}"
    kept = decided(ready(30), Workers(12, 12, removable=0, busy=12), history)
    can_go = "0 of 12 can go without stopping a worker at work"
    assert kept.message == f"12 kept, 8 would do, asked for within the last 60 s: 12 at work, {can_go}; {asks}"
    bounded = decided(ready(0), Workers(3, 3, removable=3), policy=replace(POLICY, min_replicas=1))
    assert bounded.message == "3 -> 1: 0 ready / 5 per replica = 0, minReplicas"


def test_workers_without_an_answer_stay_and_are_not_called_busy() -> None:
    decision = decided(ready(0), Workers(3, 3, removable=0, silent=3, page=":9000/metrics"))
    assert (decision.replicas, decision.reason) == (3, Reason.WORKERS_SILENT)
    assert decision.message.startswith("3 kept, 0 would do: 3 of 3 workers gave no answer at :9000/metrics")
    for remedy in ("workqueue_tasks_in_progress", "spec.workers.metricsPort"):
        assert remedy in decision.message
    assert "busy" not in decision.message


def test_silence_is_named_only_where_it_keeps_a_worker() -> None:
    """Five at work are the hindrance when five stay, whatever the sixth, which goes with its container, says."""
    busy = decided(ready(0), Workers(6, 6, removable=1, busy=5, silent=1))
    assert busy.reason is Reason.WORKERS_BUSY
    both = decided(ready(0), Workers(6, 6, removable=1, busy=3, silent=2))
    assert (both.replicas, both.reason) == (5, Reason.WORKERS_SILENT)


def test_failing_workers_stop_growth() -> None:
    decision = decided(ready(100), Workers(4, 0, failing="4 of 4 pods fail: CrashLoopBackOff"))
    assert (decision.replicas, decision.reason) == (4, Reason.WORKERS_FAILING)
    assert "CrashLoopBackOff" in decision.message


def test_one_worker_is_started_although_they_fail() -> None:
    """Without any worker no task is acked, and the breaker would stay shut forever."""
    decision = decided(ready(100, 0), Workers(0, 0, failing="9 redeliveries and no ack among them"))
    assert (decision.replicas, decision.wanted, decision.reason) == (1, 20, Reason.WORKERS_FAILING)
    assert decided(ready(1, 0), Workers(0, 0, failing="9 redeliveries and no ack")).reason is Reason.BACKLOG
    assert decided(ready(100, 0), Workers(1, 0, failing="9 redeliveries and no ack")).replicas == 1


def test_failing_workers_still_get_min_replicas() -> None:
    policy = replace(POLICY, min_replicas=3)
    assert (
        decided(ready(100, 0), Workers(0, 0, failing="1 of 1 pods fail: CrashLoopBackOff"), policy=policy).replicas == 3
    )


def test_failing_workers_do_not_stop_a_scale_down() -> None:
    assert decided(ready(0), Workers(4, 0, failing="4 of 4 pods fail: CrashLoopBackOff", removable=4)).replicas == 0


def test_paused_leaves_the_deployment_alone_and_reports_what_it_would_do() -> None:
    decision = decided(ready(100), Workers(2, 2), paused=True)
    assert (decision.replicas, decision.reason) == (2, Reason.PAUSED)
    assert "100 ready / 5 per replica = 20" in decision.message


def test_a_size_raised_by_hand_is_kept_as_the_least() -> None:
    manual = ManualSize(10, raised=True, kept_seconds=300)
    kept = decided(ready(0), Workers(10, 10, removable=10), manual=manual)
    assert (kept.replicas, kept.reason) == (10, Reason.SCALED_MANUALLY)
    assert decided(ready(100), Workers(10, 10), manual=manual).replicas == 20


def test_back_to_a_size_raised_by_hand_only_idle_workers_go() -> None:
    """The queue had taken it further; the way back is a scale-down like any other."""
    manual = ManualSize(10, raised=True, kept_seconds=300)
    asks = decided(ready(0), Workers(20, 20), manual=manual)
    assert (asks.replicas, asks.ask_workers) == (20, True)
    assert decided(ready(0), Workers(20, 20, removable=3), manual=manual).replicas == 17
    assert decided(ready(0), Workers(20, 20, removable=20), manual=manual).replicas == 10
    held = decided(ready(0), Workers(20, 20, removable=20), QUIET.remember(NOW - 5, 20, 60, known=True), manual=manual)
    assert (held.replicas, held.reason) == (20, Reason.STABILIZED)


def test_a_size_lowered_by_hand_is_kept_as_the_most() -> None:
    manual = ManualSize(1, raised=False, kept_seconds=300)
    assert decided(ready(100), Workers(1, 1), manual=manual).replicas == 1
    assert decided(ready(0), Workers(1, 1, removable=1), manual=manual).replicas == 0


def test_a_size_lowered_by_hand_is_kept_while_the_queue_is_unknown() -> None:
    """Neither minReplicas nor the fallback start what a person just stopped; no worker that runs is stopped."""
    policy = replace(POLICY, min_replicas=2, fallback=Fallback(after_seconds=60, replicas=5))
    long = watch(QUIET, NOW - 100, NOW, 0, known=False)
    manual = ManualSize(0, raised=False, kept_seconds=300)
    kept = decided(AWAY, Workers(0, 0), long, policy, manual=manual)
    assert (kept.replicas, kept.reason) == (0, Reason.SCALED_MANUALLY)
    assert "connection refused" in kept.message
    assert decided(AWAY, Workers(3, 3, removable=3), long, policy, manual=manual).replicas == 3
    assert decided(AWAY, Workers(0, 0), long, policy).replicas == 5


def test_a_size_raised_by_hand_is_held_and_lifted_while_the_queue_is_unknown() -> None:
    policy = replace(POLICY, fallback=Fallback(after_seconds=60, replicas=5))
    manual = ManualSize(3, raised=True, kept_seconds=300)
    assert decided(AWAY, Workers(3, 3), policy=policy, manual=manual).replicas == 3
    long = watch(QUIET, NOW - 100, NOW, 3, known=False)
    assert decided(AWAY, Workers(3, 3), long, policy, manual=manual).replicas == 5


def test_drain_seconds_uses_littles_law() -> None:
    policy = replace(POLICY, drain_seconds=60)
    reading = Counts(600, 1, Rates(arrivals_per_second=2.0, service_seconds=1.5))
    decision = decided(reading, Workers(0, 0), policy=policy)
    assert decision.replicas == 18  # 1.5 s x (2/s + 600/60 s)
    assert "1.5 s a task x (2 new/s + 600 ready / 60 s) = 18" in decision.message


def test_drain_seconds_without_rates_falls_back_to_messages_per_replica_and_says_so() -> None:
    decision = decided(ready(10), Workers(0, 0), policy=replace(POLICY, drain_seconds=60))
    assert decision.replicas == 2
    assert "no rates known" in decision.message


def test_workers_that_just_keep_up_are_kept_by_the_arrival_rate() -> None:
    """Nothing waits, yet ten workers' worth of tasks arrives all the time."""
    policy = replace(POLICY, drain_seconds=60)
    reading = Counts(0, 10, Rates(arrivals_per_second=10.0, service_seconds=1.0))
    assert decided(reading, Workers(10, 10, removable=10), policy=policy).reason is Reason.STEADY


def test_a_service_time_is_at_most_the_task_timeout() -> None:
    policy = replace(POLICY, drain_seconds=60, task_timeout_seconds=10, max_replicas=1000)
    reading = Counts(0, 1, Rates(arrivals_per_second=1.0, service_seconds=1e6))
    assert decided(reading, Workers(0, 0), policy=policy).replicas == 10
