"""The pace of new-task and its progress lines, on a clock of their own."""

import io

import pytest
from workqueue_producer.pace import CATCH_UP, Pace
from workqueue_producer.progress import PLAIN_EVERY, Progress


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


@pytest.mark.parametrize(("total", "of"), [(40, " of 40"), (None, "")])
def test_elsewhere_than_on_a_terminal_there_is_a_line_every_five_seconds(total: int | None, of: str) -> None:
    clock, stream = Clock(), io.StringIO()
    progress = Progress(total, stream, clock)
    for confirmed in range(24):  # one look each half second
        progress.show(confirmed)
        clock.time += PLAIN_EVERY / 10
    progress.end()
    assert stream.getvalue() == f"confirmed 10{of}\nconfirmed 20{of}\n"


class ClosedStream(io.StringIO):
    """Whoever read it is gone."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_progress_that_nobody_reads_stops_nothing() -> None:
    clock = Clock()
    progress = Progress(2, ClosedStream(), clock)
    clock.time += PLAIN_EVERY
    progress.show(1)
