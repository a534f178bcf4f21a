"""What a person sees in a terminal: a row for each queue, `?` for what is not known, and the newest lines."""

import asyncio
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from rich.console import Console
from workqueue_operator.cluster.local.local_cluster import LocalEvent
from workqueue_operator.cluster.port import Notice
from workqueue_operator.local.board import Row
from workqueue_operator.local.live_view import MOST_WORKERS, LiveView, table
from workqueue_operator.resource import Key

from tests.support.waiting import until

ROW = Row(
    key=Key("team", "orders"),
    waiting=60,
    in_progress=3,
    workers=5,
    ready=3,
    ending=2,
    desired=12,
    oldest_seconds=75.4,
    reason="Backlog",
)
UNKNOWN = replace(ROW, waiting=None, in_progress=None, desired=None, oldest_seconds=None)


def drawn(*rows: Row) -> list[list[str]]:
    """The cells of each line."""
    output = io.StringIO()
    Console(file=output, width=140).print(table(rows))
    return [line.split() for line in output.getvalue().splitlines()]


def test_a_row_has_the_numbers_of_its_queue() -> None:
    _, cells = drawn(ROW)
    assert cells == ["team/orders", "60", "3", "12", "5", "███▒▒░░", "1", "min", "15", "s", "Backlog"]


def test_what_is_not_known_is_a_question_mark_and_no_zero() -> None:
    _, cells = drawn(UNKNOWN)
    assert cells == ["team/orders", "?", "?", "?", "5", "███▒▒░░", "?", "Backlog"]


def test_many_workers_are_a_number() -> None:
    _, cells = drawn(replace(ROW, workers=50, ready=50, ending=0))
    assert cells[4:6] == ["50", "1"]


async def one_queue() -> Sequence[Row]:
    return [ROW]


async def test_the_newest_lines_are_below_the_table() -> None:
    output = io.StringIO()
    view = LiveView(Console(file=output, width=140, force_terminal=True))
    event = Notice("Backlog", "1 -> 12: 60 ready\x1b[2J")
    view.event(LocalEvent(ROW.key, "uid", event, 1, 0.0))
    for number in range(MOST_WORKERS + 1):
        view.pod(f"worker-{number}", "is Ready")

    async def drawn_once() -> bool:
        return "worker-4" in output.getvalue()

    showing = asyncio.create_task(view.show(one_queue))
    await until(drawn_once, "it is drawn")
    showing.cancel()
    with suppress(asyncio.CancelledError):
        await showing
    text = output.getvalue()
    assert "team/orders: Backlog: 1 -> 12: 60 ready" in text
    assert "\x1b[2J" not in text
    assert "worker-1 is Ready" in text
    assert "worker-0 is Ready" not in text
