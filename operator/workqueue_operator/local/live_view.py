"""The live view of a terminal: a row for each queue, and below it the last decisions and what became of workers."""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from workqueue_broker.foreign_text import foreign_text

from workqueue_operator.cluster.local.local_cluster import LocalEvent
from workqueue_operator.local.board import Row
from workqueue_operator.local.lines import MOST_CHARACTERS, Lines

#: Seconds between two looks at the queues.
LOOK_SECONDS = 0.5
#: Lines below the table: Events, of which each decision that changed something is one, and what became of workers.
MOST_EVENTS, MOST_WORKERS = 6, 4
#: Workers that a bar shows, one character each; more are a number alone.
LONGEST_BAR = 20


class LiveView(Lines):
    """Draws the queues in place. What is printed while it is shown, such as workers' output, goes above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._events: deque[str] = deque(maxlen=MOST_EVENTS)
        self._workers: deque[str] = deque(maxlen=MOST_WORKERS)

    def event(self, event: LocalEvent) -> None:
        """Into the lines below the table; the newest is the last."""
        self._events.append(_line(f"{event.key}: {event.notice.reason}: {event.notice.message}"))

    def pod(self, name: str, text: str) -> None:
        """The same, below the Events."""
        self._workers.append(_line(f"{name} {text}"))

    async def show(self, rows: Callable[[], Awaitable[Sequence[Row]]]) -> None:
        """Until cancelled; the last look stays on the screen."""
        with Live(console=self._console, auto_refresh=False) as live:
            while True:
                live.update(self._picture(await rows()), refresh=True)
                await asyncio.sleep(LOOK_SECONDS)

    def _picture(self, rows: Sequence[Row]) -> RenderableType:
        events = (Text(line, no_wrap=True, overflow="ellipsis") for line in self._events)
        workers = (Text(line, no_wrap=True, overflow="ellipsis", style="dim") for line in self._workers)
        return Group(table(rows), *events, *workers)


def table(rows: Sequence[Row]) -> Table:
    """A row for each queue; what is not known is `?`, never 0."""
    shown = Table(box=None, pad_edge=False)
    shown.add_column("WORKQUEUE")
    for heading in ("WAITING", "IN PROGRESS", "DESIRED"):
        shown.add_column(heading, justify="right")
    shown.add_column("WORKERS")
    shown.add_column("OLDEST MESSAGE", justify="right")
    shown.add_column("REASON")
    for row in rows:
        shown.add_row(
            Text(str(row.key)),
            _number(row.waiting),
            _number(row.in_progress),
            _number(row.desired),
            _workers(row),
            _duration(row.oldest_seconds),
            Text(row.reason),
        )
    return shown


def lines_or_view() -> Lines:
    """The view on a terminal, plain lines elsewhere."""
    console = Console(file=sys.stdout)
    return LiveView(console) if console.is_terminal and not console.is_dumb_terminal else Lines()


def _line(text: str) -> str:
    return f"{time.strftime('%H:%M:%S')} {foreign_text(text, MOST_CHARACTERS)}"


def _workers(row: Row) -> str:
    """Ready ones are full blocks; those that start, and those that finish their last task, are lighter."""
    starting = max(0, row.workers - row.ready)
    bar = "█" * row.ready + "▒" * starting + "░" * row.ending
    return f"{row.workers:2} {bar}" if len(bar) <= LONGEST_BAR else str(row.workers)


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
