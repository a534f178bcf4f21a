"""Waits between attempts: bounded after any number of failures, and spread over the whole range."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_broker.backoff import full_jitter


def longest(_low: float, high: float) -> float:
    return high


@pytest.mark.parametrize(("attempt", "seconds"), [(0, 0.5), (1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (10**6, 30.0)])
def test_the_longest_wait_doubles_with_each_attempt_up_to_the_cap(attempt: int, seconds: float) -> None:
    assert full_jitter(attempt, base=0.5, cap=30.0, uniform=longest) == seconds


def test_the_wait_begins_at_nothing() -> None:
    assert full_jitter(3, base=0.5, cap=30.0, uniform=lambda low, _high: low) == 0.0


@given(st.integers(-5, 2**40), st.floats(0.001, 1e6), st.floats(0.001, 1e6))
def test_whatever_the_attempt_the_wait_is_within_the_cap(attempt: int, base: float, cap: float) -> None:
    assert 0.0 <= full_jitter(attempt, base=base, cap=cap) <= cap
