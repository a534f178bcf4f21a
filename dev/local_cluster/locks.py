"""Locks between the programs of this machine: the kernel releases one when its holder ends, however it ends.

Rule: a program that waits for a lock shows which program holds it, from which checkout, and for how long it waits.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from dev.local_cluster.console import say, step
from dev.local_cluster.places import CHECKOUT, places

POLL_SECONDS = 0.1


class Lock:
    """A lock file. Its text names the program that took it last, for those that wait."""

    def __init__(self, file: TextIO, holder: str) -> None:
        self._file, self._holder = file, holder

    def take(self, *, shared: bool = False) -> None:
        """Hold it alone, or with others that share it; it is held the other way no longer."""
        how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        if not self._taken(how):
            say(f"Waiting for {self._other()} …")
            with step("Waiting") as progress:
                while not self._taken(how):
                    progress.show("")
                    time.sleep(POLL_SECONDS)
        self._file.truncate(0)
        self._file.write(self._holder)
        self._file.flush()

    def taken_alone(self) -> bool:
        """Hold it alone if no other program holds it, else do not hold it at all."""
        return self._taken(fcntl.LOCK_EX)

    def _taken(self, how: int) -> bool:
        try:
            fcntl.flock(self._file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _other(self) -> str:
        self._file.seek(0)
        return self._file.read() or "another program"


@contextmanager
def opened(path: Path, use: str) -> Iterator[Lock]:
    """A lock that is not held yet. `use`: what this program does with it, such as "the demo"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        yield Lock(file, f"{use} (process {os.getpid()}, {CHECKOUT})")


@contextmanager
def locked(path: Path, use: str, *, shared: bool = False) -> Iterator[Lock]:
    """Held for as long as the block lasts."""
    with opened(path, use) as lock:
        lock.take(shared=shared)
        yield lock


def lock_file(name: str) -> Path:
    """For what this user's cache, or a cluster that it reaches, has one of."""
    return places().cache / "locks" / name.replace("/", "_")
