"""How far new-task is: a bar on a terminal, a line now and then elsewhere; on stderr, for stdout has the result.

The only importer of tqdm.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from tqdm import tqdm

#: Seconds between two plain lines.
PLAIN_EVERY = 5.0


class Progress:
    """Shows how many tasks are confirmed, of how many (None: not known)."""

    def __init__(self, total: int | None, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._stream = stream
        self._now = now
        self._next_line = now() + PLAIN_EVERY
        self._bar = tqdm(total=total, desc="Confirmed", unit=" tasks", file=stream) if stream.isatty() else None

    def show(self, confirmed: int) -> None:
        if self._bar is not None:
            self._bar.update(confirmed - self._bar.n)
        elif self._now() >= self._next_line:
            self._next_line = self._now() + PLAIN_EVERY
            with suppress(OSError):  # its reader may have left; that stops no task
                self._stream.write(f"confirmed {confirmed}{f' of {self._total}' if self._total else ''}\n")
                self._stream.flush()

    def end(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
