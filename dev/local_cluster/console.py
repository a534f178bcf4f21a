"""What the user sees while something takes long: one line that moves on a terminal, a line now and then elsewhere.

Rule: no step is silent for more than a few seconds, and a failure names the log to read and shows its end.
Everything goes to stderr; stdout belongs to results (paths, image names) that scripts read.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PLAIN_SECONDS = 15.0
MOVING_SECONDS = 0.5
TAIL_LINES = 15


class ClusterError(Exception):
    """Something the user has to know; its text says what to do."""


class Step:
    """One line of progress. `show` may be called at any rate: it prints at most once in a while."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._started = time.monotonic()
        self._shown = self._started
        self._moving = sys.stderr.isatty()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def show(self, detail: str) -> None:
        """Show how far it is, if it is time to show anything again."""
        now = time.monotonic()
        if now - self._shown < (MOVING_SECONDS if self._moving else PLAIN_SECONDS):
            return
        self._shown = now
        self._write(f"{self._title} … {clock(self.seconds)} {detail}", last=False)

    def done(self, detail: str = "") -> None:
        self._write(f"{self._title}: {detail or 'done'} ({clock(self.seconds)})", last=True)

    def _write(self, text: str, *, last: bool) -> None:
        if self._moving:
            sys.stderr.write(f"\r\033[K{text[:118]}" + ("\n" if last else ""))
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()


@contextmanager
def step(title: str) -> Iterator[Step]:
    """A step that ends with its own time, or leaves its line for the error to follow."""
    progress = Step(title)
    try:
        yield progress
    except BaseException:
        if sys.stderr.isatty():
            sys.stderr.write("\n")
        raise
    progress.done()


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def clock(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def tail(log: Path) -> str:
    """The end of a log for an error's text, indented."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        lines = ["(no log was written)"]
    return "\n".join(f"    {line[:300]}" for line in lines)


def until(fact: Callable[[], bool], *, seconds: float, check: Callable[[], None], otherwise: Callable[[], str]) -> None:
    """Poll a fact until it is true. `check` may raise at once when it cannot become true any more."""
    deadline = time.monotonic() + seconds
    while not fact():
        check()
        if time.monotonic() > deadline:
            raise ClusterError(otherwise())
        time.sleep(0.1)
