"""The pace of new-task, on a clock of its own."""

import pytest
from workqueue_producer.pace import CATCH_UP, Pace


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_tasks_come_one_after_the_other_at_the_rate() -> None:
    clock = Clock()
    pace = Pace(4.0, clock)
    given_out = []
    for _ in range(5):
        clock.time += pace.delay()
        given_out.append(clock.time)
    assert given_out == [100.0, 100.25, 100.5, 100.75, 101.0]


def test_lost_time_is_caught_up_for_one_second_and_no_more() -> None:
    clock = Clock()
    pace = Pace(10.0, clock)
    pace.delay()
    clock.time += 60.0
    burst = 0
    while pace.delay() == 0.0:
        burst += 1
    assert burst == pytest.approx(CATCH_UP * 10 + 1, abs=1)


@pytest.mark.parametrize("rate", [1e-300, 5e-324, 1e300])
def test_no_rate_is_too_small_or_too_great(rate: float) -> None:
    pace = Pace(rate, Clock())
    assert pace.delay() == 0.0
    assert pace.delay() >= 0.0


def test_no_rate_is_no_wait() -> None:
    assert Pace(None, Clock()).delay() == 0.0
