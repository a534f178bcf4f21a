"""The rates behind drainSeconds stay sound where acks and arrivals are rare against the 5 s between two samples."""

import pytest
from workqueue_operator.scaling.rates import LONGEST_HALF_LIFE_SECONDS, Estimate, Sample

SAMPLE_SECONDS = 5


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
    known = [rates.service_seconds for rates in settled if rates]
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
    assert rates is not None
    assert rates.service_seconds == pytest.approx(10, rel=0.2)
    assert rates.arrivals_per_second == pytest.approx(0, abs=1e-9)


def test_one_long_task_that_comes_is_no_rush() -> None:
    """A task of two minutes comes once in two minutes; right after it the work that arrives must not look like five."""
    row = estimates(3600, 120, 1)
    work = [rates.arrivals_per_second * rates.service_seconds for one in row if (rates := one.rates(one.last.time))]
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
