"""Plain lines: each Event, what becomes of each worker, and with --logs what the workers write."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from workqueue_broker import standard_streams
from workqueue_broker.foreign_text import foreign_text

from workqueue_operator.cluster.local.local_cluster import LocalEvent
from workqueue_operator.local.board import Row

#: Seconds between two looks at the workers' output, and bytes that are read of one of them in a look.
LOOK_SECONDS = 0.2
MOST_BYTES = 256 * 1024
#: Characters of a worker's line that are printed.
MOST_CHARACTERS = 2000


class Lines:
    """Prints lines with the time of day."""

    def say(self, text: str) -> None:
        """A line about all of it."""
        standard_streams.say(f"{time.strftime('%H:%M:%S')} {text}")

    def event(self, event: LocalEvent) -> None:
        """An Event, of which each decision that changed something is one."""
        mark = "! " if event.notice.type == "Warning" else ""
        self.say(f"{mark}{event.key}: {event.notice.reason}: {event.notice.message}")

    def pod(self, name: str, text: str) -> None:
        """What became of a worker."""
        self.say(f"{name} {foreign_text(text, MOST_CHARACTERS)}")

    async def show(self, rows: Callable[[], Awaitable[Sequence[Row]]]) -> None:
        """Lines show no view of the queues."""


class WorkerOutput:
    """Prints each line that the workers write, with the name of the worker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}

    async def follow(self) -> None:
        """Until cancelled; `look` prints the rest then."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Print the whole lines that came since the last look."""
        there = sorted(self._folder.glob("*.log"))
        self._read = {path: self._read.get(path, 0) for path in there}
        for path in there:
            self._print_new(path)

    def _print_new(self, path: Path) -> None:
        try:
            with path.open("rb") as output:
                if path.stat().st_size < self._read[path]:  # it was cut
                    self._read[path] = 0
                output.seek(self._read[path])
                piece = output.read(MOST_BYTES)
        except FileNotFoundError:  # just removed
            return
        end = piece.rfind(b"\n") + 1 or (len(piece) if len(piece) == MOST_BYTES else 0)
        self._read[path] += end
        for line in piece[:end].decode("utf-8", "replace").splitlines():
            standard_streams.say(f"{path.stem} | {foreign_text(line, MOST_CHARACTERS)}")
