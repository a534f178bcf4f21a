"""The decision under numbers and clocks that should not be."""

import math

import pytest
from workqueue_operator.demand import Counts, Rates
from workqueue_operator.history import History
from workqueue_operator.resource import ScalingPolicy
from workqueue_operator.scaling import Reason, Situation, Workers, decide

HOUR = 3600.0
NOW = 100_000.0
LONG = History().remember(0.0, 0, 60, known=True)


def test_two_billion_messages_ask_for_max_replicas() -> None:
    assert decide(ScalingPolicy(), Situation(Counts(2**31, 0), Workers(0, 0)), LONG, NOW).replicas == 50


def test_a_negative_count_is_unknown() -> None:
    decision = decide(ScalingPolicy(), Situation(Counts(-1, 0), Workers(3, 3, removable=3)), LONG, NOW)
    assert (decision.replicas, decision.reason) == (3, Reason.QUEUE_UNKNOWN)


@pytest.mark.parametrize(
    "rates",
    [
        Rates(math.nan, 1.0),
        Rates(1.0, math.nan),
        Rates(math.inf, 1.0),
        Rates(1.0, math.inf),
        Rates(-1.0, 1.0),
        Rates(1.0, -1.0),
        Rates(1.0, 0.0),
    ],
)
def test_rates_that_are_no_rates_fall_back_to_messages_per_replica(rates: Rates) -> None:
    policy = ScalingPolicy(drain_seconds=60)
    assert decide(policy, Situation(Counts(10, 1, rates), Workers(0, 0)), LONG, NOW).replicas == 2


def test_min_equal_to_max_is_a_fixed_size() -> None:
    policy = ScalingPolicy(min_replicas=4, max_replicas=4)
    for ready in (0, 1, 10_000):
        assert decide(policy, Situation(Counts(ready, 1), Workers(4, 4, removable=4)), LONG, NOW).replicas == 4


def test_max_zero_runs_nothing() -> None:
    policy = ScalingPolicy(max_replicas=0)
    assert decide(policy, Situation(Counts(1000, 1), Workers(0, 0)), LONG, NOW).replicas == 0
    assert decide(policy, Situation(Counts(1000, 1), Workers(3, 3, removable=3)), LONG, NOW).replicas == 0


def test_a_window_of_zero_shrinks_at_once() -> None:
    policy = ScalingPolicy(scale_down_stabilization_seconds=0)
    history = LONG.remember(NOW, 9, 0, known=True)
    assert decide(policy, Situation(Counts(0, 1), Workers(9, 9, removable=9)), history, NOW).replicas == 0


def test_a_clock_that_goes_back_by_hours_never_shrinks_early() -> None:
    history = LONG.remember(NOW, 9, 60, known=True)
    decision = decide(ScalingPolicy(), Situation(Counts(0, 1), Workers(9, 9, removable=9)), history, NOW - 5 * HOUR)
    assert decision.replicas == 9


def test_a_clock_that_went_back_by_hours_holds_for_one_window_only() -> None:
    back = NOW - 5 * HOUR
    history = LONG.remember(NOW, 9, 60, known=True).remember(back, 0, 60, known=True)
    late = history.remember(back + 61, 0, 60, known=True)
    decision = decide(ScalingPolicy(), Situation(Counts(0, 1), Workers(9, 9, removable=9)), late, back + 61)
    assert decision.replicas == 0


def test_a_clock_that_goes_forward_by_hours_still_takes_only_idle_workers() -> None:
    history = LONG.remember(NOW, 9, 60, known=True)
    decision = decide(ScalingPolicy(), Situation(Counts(0, 1), Workers(9, 9, removable=2)), history, NOW + 5 * HOUR)
    assert decision.replicas == 7


def test_more_workers_than_max_go_down_to_max_as_they_become_idle() -> None:
    policy = ScalingPolicy(max_replicas=5)
    decision = decide(policy, Situation(Counts(1000, 1), Workers(80, 80, removable=10)), LONG, NOW)
    assert decision.replicas == 70
