"""The progress lines of new-task."""

import io

import pytest
from workqueue_producer.progress import PLAIN_EVERY, Progress


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


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
    """A stream whose reader is gone."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_progress_without_a_reader_stops_nothing() -> None:
    clock = Clock()
    progress = Progress(2, ClosedStream(), clock)
    clock.time += PLAIN_EVERY
    progress.show(1)
