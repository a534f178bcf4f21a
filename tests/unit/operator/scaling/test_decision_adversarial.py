"""The decision under numbers and clocks that should not be."""

import math

import pytest
from workqueue_operator.resource import Fallback, ScalingPolicy
from workqueue_operator.scaling.decision import Reason, ScalingDecision, Situation, Unknown, Workers, decide
from workqueue_operator.scaling.demand import Counts, Rates
from workqueue_operator.scaling.history import PAUSE_SECONDS, History

from tests.support.strategies import watch

HOUR = 3600.0
NOW = 100_000.0
LONG = watch(History(), NOW - 1000, NOW, 0)
AWAY = Unknown("Unavailable", "connection refused")
IMPOSSIBLE_RATES = [
    Rates(math.nan, 1.0),
    Rates(1.0, math.nan),
    Rates(math.inf, 1.0),
    Rates(1.0, math.inf),
    Rates(-math.inf, 1.0),
    Rates(-1.0, 1.0),
    Rates(1.0, -1.0),
    Rates(1.0, 0.0),
]


def decided(
    policy: ScalingPolicy, reading: Counts | Unknown, workers: Workers, history: History = LONG, now: float = NOW
) -> ScalingDecision:
    return decide(policy, Situation(reading, workers), history, now)


@pytest.mark.parametrize("size", [0, 1, 49, 50])
def test_two_billion_messages_ask_for_max_replicas(size: int) -> None:
    assert decided(ScalingPolicy(), Counts(2**31, 0), Workers(size, size)).replicas == 50


@pytest.mark.parametrize("size", [0, 7, 50])
def test_two_billion_messages_ask_for_max_replicas_with_a_time_to_drain_them_too(size: int) -> None:
    counts = Counts(2**31, size, Rates(1.0, 1.0), messages_unacknowledged=size)
    assert decided(ScalingPolicy(drain_seconds=1), counts, Workers(size, size)).replicas == 50


@pytest.mark.parametrize("counts", [Counts(-1, 0), Counts(-(2**31), 5), Counts(0, -1), Counts(100, -1)])
def test_a_negative_count_is_unknown(counts: Counts) -> None:
    decision = decided(ScalingPolicy(), counts, Workers(3, 3, removable=3))
    assert (decision.replicas, decision.reason) == (3, Reason.QUEUE_UNKNOWN)


def test_tasks_in_progress_below_zero_take_no_worker_away() -> None:
    counts = Counts(10, 0, Rates(0.0, 60.0), messages_unacknowledged=-1000)
    assert decided(ScalingPolicy(drain_seconds=60), counts, Workers(0, 0)).replicas == 10


@pytest.mark.parametrize("rates", IMPOSSIBLE_RATES)
def test_rates_that_are_no_rates_fall_back_to_messages_per_replica(rates: Rates) -> None:
    decision = decided(ScalingPolicy(drain_seconds=60), Counts(10, 1, rates), Workers(0, 0))
    assert decision.replicas == 2
    assert "no rates known for drainSeconds: the management API's numbers cannot be true" in decision.message


@pytest.mark.parametrize("ready", [0, 1, 10_000])
@pytest.mark.parametrize("size", [0, 1, 4, 9])
def test_min_equal_to_max_is_a_fixed_size(ready: int, size: int) -> None:
    """Reached from any other size, by a scale-down too."""
    policy = ScalingPolicy(min_replicas=4, max_replicas=4)
    assert decided(policy, Counts(ready, 1), Workers(size, size, removable=size)).replicas == 4


def test_max_zero_runs_nothing() -> None:
    policy = ScalingPolicy(max_replicas=0)
    assert decided(policy, Counts(1000, 1), Workers(0, 0)).replicas == 0
    assert decided(policy, Counts(1000, 1), Workers(3, 3, removable=3)).replicas == 0


def test_max_zero_starts_nothing_for_a_queue_that_cannot_be_read() -> None:
    policy = ScalingPolicy(max_replicas=0, fallback=Fallback(after_seconds=60, replicas=2))
    unknown = watch(History(), NOW - 100, NOW, 0, known=False)
    assert decided(policy, AWAY, Workers(0, 0), unknown).replicas == 0
    assert decided(policy, AWAY, Workers(3, 3, removable=3), unknown).replicas == 3


def test_a_window_of_zero_scales_down_at_once() -> None:
    policy = ScalingPolicy(scale_down_stabilization_seconds=0)
    history = watch(LONG, NOW - 1, NOW, 9, 0)
    assert decided(policy, Counts(0, 1), Workers(9, 9, removable=9), history).replicas == 0


def test_a_window_of_zero_does_not_scale_down_on_the_first_pass() -> None:
    """One reading is no watching, however short."""
    policy = ScalingPolicy(scale_down_stabilization_seconds=0)
    decision = decided(policy, Counts(0, 1), Workers(9, 9, removable=9), History())
    assert (decision.replicas, decision.reason) == (9, Reason.FIRST_WINDOW)
    after = History().remember(NOW, 0, 0, known=True)
    assert decided(policy, Counts(0, 1), Workers(9, 9, removable=9), after, NOW + 1).replicas == 0


def test_a_window_that_was_raised_is_watched_again() -> None:
    """What was wanted before it was raised was not kept for so long."""
    busy = watch(watch(History(), NOW - 900, NOW - 10, 50, 0), NOW - 10, NOW, 0, 0)
    policy = ScalingPolicy(scale_down_stabilization_seconds=600)
    decision = decided(policy, Counts(0, 1), Workers(50, 50, removable=50), busy)
    assert (decision.replicas, decision.reason) == (50, Reason.FIRST_WINDOW)
    watched = watch(busy, NOW, NOW + 601, 0, 600)
    assert decided(policy, Counts(0, 1), Workers(50, 50, removable=50), watched, NOW + 601).replicas == 0


def test_a_window_that_was_lowered_and_raised_again_is_watched_again() -> None:
    history = watch(
        watch(watch(History(), NOW - 900, NOW - 300, 9, 600), NOW - 300, NOW - 1, 0, 0), NOW - 1, NOW, 0, 600
    )
    policy = ScalingPolicy(scale_down_stabilization_seconds=600)
    assert decided(policy, Counts(0, 1), Workers(9, 9, removable=9), history).replicas == 9


def test_a_clock_that_goes_back_by_hours_never_scales_down_early() -> None:
    history = watch(LONG, NOW - 1, NOW, 9)
    assert decided(ScalingPolicy(), Counts(0, 1), Workers(9, 9, removable=9), history, NOW - 5 * HOUR).replicas == 9


def test_a_clock_that_went_back_by_hours_holds_for_one_window_only() -> None:
    back = NOW - 5 * HOUR
    history = watch(watch(LONG, NOW - 1, NOW, 9), back, back + 61, 0)
    for seconds, size in ((59, 9), (61, 0)):
        decision = decided(ScalingPolicy(), Counts(0, 1), Workers(9, 9, removable=9), history, back + seconds)
        assert decision.replicas == size


@pytest.mark.parametrize("pause", [PAUSE_SECONDS + 1, HOUR, 5 * HOUR])
def test_a_pause_or_a_clock_that_goes_forward_starts_the_watch_again(pause: float) -> None:
    """An API server away, a suspended process, a clock that jumped: the operator did not see what was wanted then."""
    later = NOW + pause
    decision = decided(ScalingPolicy(), Counts(0, 1), Workers(9, 9, removable=9), LONG, later)
    assert (decision.replicas, decision.reason) == (9, Reason.FIRST_WINDOW)
    for seconds, size in ((59, 9), (61, 0)):
        history = watch(LONG, later, later + seconds, 0)
        assert (
            decided(ScalingPolicy(), Counts(0, 1), Workers(9, 9, removable=9), history, later + seconds).replicas
            == size
        )


def test_a_slow_poll_is_no_pause() -> None:
    policy = ScalingPolicy(poll_period_seconds=60)
    history = History()
    for minute in range(5):
        history = history.remember(NOW + 60 * minute, 0, 60, known=True, poll_seconds=60)
    assert decided(policy, Counts(0, 1), Workers(9, 9, removable=9), history, NOW + 300).replicas == 0


def test_more_workers_than_max_go_down_to_max_as_they_become_idle() -> None:
    policy = ScalingPolicy(max_replicas=5)
    assert decided(policy, Counts(1000, 1), Workers(80, 80, removable=10)).replicas == 70
