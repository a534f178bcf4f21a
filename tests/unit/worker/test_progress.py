"""The progress of `dead-letters`: a bar on a terminal, a line now and then elsewhere."""

import io

from workqueue_worker.progress import PLAIN_EVERY, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_a_bar_that_is_full_at_the_end_and_a_line_of_its_own() -> None:
    stream = Terminal()
    progress = Progress("replay", 2, stream)
    progress.step()
    progress.step()
    progress.end()
    half, full = stream.getvalue().removesuffix("\n").split("\r")[1:]
    assert half == f"replay [{'#' * 15}{' ' * 15}] 1/2"
    assert full == f"replay [{'#' * 30}] 2/2"


def test_elsewhere_there_is_a_line_for_each_thousand() -> None:
    stream = io.StringIO()
    progress = Progress("drop", 2500, stream)
    for _ in range(2500):
        progress.step()
    progress.end()
    assert stream.getvalue() == f"drop: {PLAIN_EVERY} of 2500\ndrop: {2 * PLAIN_EVERY} of 2500\n"


def test_nothing_is_shown_of_nothing() -> None:
    stream = Terminal()
    Progress("drop", 0, stream).end()
    assert stream.getvalue() == ""
