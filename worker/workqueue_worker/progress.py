"""A progress bar on a terminal, a plain line now and then elsewhere. Written to stderr."""

import sys
from typing import TextIO

WIDTH = 30
#: Elsewhere, one line for so many.
PLAIN_EVERY = 1000


class Progress:
    """Counts up to a total, and shows it."""

    def __init__(self, what: str, total: int, stream: TextIO = sys.stderr) -> None:
        self._what = what
        self._total = total
        self._stream = stream
        self._terminal = stream.isatty()
        self._done = 0

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        if self._terminal:
            filled = WIDTH * self._done // max(self._total, 1)
            self._stream.write(f"\r{self._what} [{'#' * filled:{WIDTH}}] {self._done}/{self._total}")
            self._stream.flush()
        elif self._done % PLAIN_EVERY == 0:
            self._stream.write(f"{self._what}: {self._done} of {self._total}\n")

    def end(self) -> None:
        """Leave the bar's line."""
        if self._terminal and self._done:
            self._stream.write("\n")
