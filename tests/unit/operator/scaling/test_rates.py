"""How a queue moves, from running totals, also where acks and arrivals are rare against the 5 s between two samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_operator.scaling.demand import Rates
from workqueue_operator.scaling.rates import (
    LONGEST_HALF_LIFE_SECONDS,
    NOT_ACKED,
    REDELIVERY_HALF_LIFE_SECONDS,
    STALE_SECONDS,
    Estimate,
    Sample,
)

SAMPLE_SECONDS = 5


def after(seconds: float, arrivals: float, acks: float, busy: int, start: Estimate | None = None) -> Estimate:
    """The estimate after so long at these rates, sampled every 5 s."""
    estimate = start or Estimate()
    last = estimate.last or Sample(0.0, 0, 0, 0, busy)
    for step in range(int(seconds / 5) + 1):
        elapsed = step * 5.0
        published, acked = last.published + int(arrivals * elapsed), last.acked + int(acks * elapsed)
        estimate = estimate.updated(Sample(last.time + elapsed, published, acked, last.redelivered, busy))
    return estimate


def test_one_sample_is_no_rate() -> None:
    assert Estimate().updated(Sample(0, 10, 10, 0, 5)).rates(0) == NOT_ACKED


def test_service_time_by_littles_law() -> None:
    """Ten tasks in progress all the time and five acks a second: two seconds each."""
    rates = after(60, arrivals=5, acks=5, busy=10).rates(60)
    assert isinstance(rates, Rates)
    assert rates.service_seconds == pytest.approx(2.0)
    assert rates.arrivals_per_second == pytest.approx(5.0)


def test_no_acks_are_no_rate() -> None:
    assert after(60, arrivals=5, acks=0, busy=10).rates(60) == NOT_ACKED


@pytest.mark.parametrize(("before", "after_it", "samples"), [(10, 1, 20), (1, 10, 3)], ids=["up", "down"])
def test_a_service_time_that_changes_by_ten_is_followed(before: int, after_it: int, samples: int) -> None:
    """Ten busy workers ack so many tasks a second; nine tenths of the way are gone after so many samples of 5 s.

    Up takes longer: the many short tasks of before weigh by their number.
    """
    estimate = after(300, arrivals=10, acks=before, busy=10)
    old, new = 10 / before, 10 / after_it
    last = estimate.last
    assert last is not None
    for sample in range(1, samples + 1):
        rates = estimate.rates(last.time + 5.0 * (sample - 1))
        assert isinstance(rates, Rates)
        assert abs(rates.service_seconds - old) < 0.9 * abs(new - old)
        acked = last.acked + 5 * after_it * sample
        estimate = estimate.updated(Sample(last.time + 5.0 * sample, last.published + 50 * sample, acked, 0, 10))
    rates = estimate.rates(last.time + 5.0 * samples)
    assert isinstance(rates, Rates)
    assert abs(rates.service_seconds - old) > 0.9 * abs(new - old)


def test_arrivals_that_fade_are_none_in_the_end() -> None:
    estimate = after(60, arrivals=5, acks=5, busy=10)
    last = estimate.last
    assert last is not None
    for sample in range(1, 61):
        estimate = estimate.updated(Sample(last.time + 5.0 * sample, last.published, last.acked, 0, 0))
    assert estimate.arrivals == 0.0


def test_totals_that_went_back_start_again() -> None:
    estimate = after(60, arrivals=5, acks=5, busy=10).updated(Sample(65, 0, 0, 0, 3))
    assert estimate.rates(65) == NOT_ACKED


def test_old_samples_are_no_rate() -> None:
    estimate = after(60, arrivals=5, acks=5, busy=10)
    assert estimate.rates(60 + STALE_SECONDS + 1) == NOT_ACKED


def test_tasks_that_only_come_back_are_failing() -> None:
    estimate = Estimate().updated(Sample(0, 10, 0, 0, 2)).updated(Sample(5, 10, 0, 6, 2))
    assert estimate.failing(5, workers_ready=2) == "6 redeliveries and no ack among them"


def test_one_redelivery_a_worker_is_a_broker_restart_and_no_failure() -> None:
    estimate = Estimate().updated(Sample(0, 10, 0, 0, 2)).updated(Sample(5, 10, 0, 5, 2))
    assert estimate.failing(5, workers_ready=5) is None


def test_one_ack_ends_the_failure() -> None:
    estimate = (
        Estimate().updated(Sample(0, 10, 0, 0, 2)).updated(Sample(5, 10, 0, 9, 2)).updated(Sample(10, 10, 1, 9, 2))
    )
    assert estimate.failing(10, workers_ready=2) is None


def test_redeliveries_fade_where_no_worker_takes_tasks_any_more() -> None:
    """Without workers no ack can come; the count is halved in each half-life."""
    estimate = Estimate().updated(Sample(0, 10, 0, 0, 2)).updated(Sample(5, 10, 0, 6, 2))
    end = 5 + int(REDELIVERY_HALF_LIFE_SECONDS)
    for second in range(10, end + 10, 5):
        assert estimate.failing(second - 5, workers_ready=0) is not None or second > end
        estimate = estimate.updated(Sample(second, 10, 0, 6, 0))
    assert estimate.failing(end + 5, workers_ready=0) is None


def test_when_tasks_were_last_acked_is_kept() -> None:
    estimate = Estimate().updated(Sample(0, 10, 0, 0, 2)).updated(Sample(5, 10, 1, 0, 2))
    assert estimate.updated(Sample(10, 10, 1, 0, 2)).acked_at == 5


totals = st.integers(0, 2**40)


@given(st.lists(st.builds(Sample, st.floats(0, 1e9), totals, totals, totals, totals), max_size=20), st.floats(0, 1e9))
def test_whatever_the_samples_a_rate_is_a_sound_number(samples: list[Sample], now: float) -> None:
    estimate = Estimate()
    for sample in samples:
        estimate = estimate.updated(sample)
    rates = estimate.rates(now)
    if isinstance(rates, Rates):
        assert rates.arrivals_per_second >= 0
        assert rates.service_seconds > 0


def estimates(seconds: int, task_seconds: int, workers: int) -> list[Estimate]:
    """One estimate a sample of workers that are always busy, and whose tasks of one length end together."""
    found = [Estimate()]
    for time in range(0, seconds, SAMPLE_SECONDS):
        done = workers * (time // task_seconds)
        found.append(found[-1].updated(Sample(float(time), done + workers, done, 0, workers)))
    return found[1:]


@pytest.mark.parametrize("workers", [1, 2, 50])
def test_tasks_that_take_minutes_have_a_steady_service_time(workers: int) -> None:
    """Whole minutes pass without an ack; the service time must not fall at each ack and grow until the next."""
    settled = [one.rates(one.last.time) for one in estimates(3600, 120, workers)[1200 // 5 :] if one.last]
    known = [rates.service_seconds for rates in settled if isinstance(rates, Rates)]
    assert len(known) == len(settled)
    assert 80 < min(known) < max(known) < 240


def test_a_service_time_survives_the_night() -> None:
    """Nothing came and nothing was acked for hours: how long a task takes is still the best guess there is."""
    estimate = estimates(600, 10, 2)[-1]
    assert estimate.last is not None
    end = estimate.last
    for hours in range(1, 720 * 8):
        estimate = estimate.updated(Sample(end.time + 5.0 * hours, end.published, end.acked, 0, 0))
    assert estimate.last is not None
    rates = estimate.rates(estimate.last.time)
    assert isinstance(rates, Rates)
    assert rates.service_seconds == pytest.approx(10, rel=0.2)
    assert rates.arrivals_per_second == pytest.approx(0, abs=1e-9)


def test_one_long_task_that_comes_is_no_rush() -> None:
    """A task of two minutes comes once in two minutes; right after it the work that arrives must not look like five."""
    row = estimates(3600, 120, 1)
    known = [rates for one in row if one.last and isinstance(rates := one.rates(one.last.time), Rates)]
    work = [rates.arrivals_per_second * rates.service_seconds for rates in known]
    assert max(work[len(work) // 2 :]) < 2


def test_arrivals_of_very_long_tasks_fade_within_minutes() -> None:
    """Else the last worker of tasks that take hours would wait for the next one for hours."""
    estimate = estimates(40 * 3600, 4 * 3600, 3)[-1]
    assert estimate.last is not None
    last, before = estimate.last, estimate.arrivals
    for step in range(1, int(LONGEST_HALF_LIFE_SECONDS) // SAMPLE_SECONDS + 1):
        estimate = estimate.updated(Sample(last.time + step * 5.0, last.published, last.acked, 0, 3))
    assert before is not None
    assert estimate.arrivals == pytest.approx(before / 2)
