"""Ends the workers of a `local` that was killed. It is a process of its own, run by its path, and imports little.

Reads `+PID` and `-PID` lines, one for each process group that began or ended. At the end of its input, which comes with
the end of `local` however that ends, it ends the groups that are left: a worker's first SIGTERM asks it to finish its
tasks, the second one to stop them with their programs, and SIGKILL comes for what is left.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

#: Seconds between the two SIGTERMs, and from the second one to SIGKILL.
HURRY_SECONDS = 0.2
KILL_SECONDS = 4.0


class Orphans:
    """The side of `local`."""

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-S", __file__]
        self._watcher = subprocess.Popen(  # noqa: S603 - this very file
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, cwd="/"
        )

    def add(self, group: int) -> None:
        """From now on it is ended when we are killed."""
        self._write(f"+{group}")

    def remove(self, group: int) -> None:
        """It has ended."""
        self._write(f"-{group}")

    def close(self) -> None:
        """In order: what is left is ended now."""
        if self._watcher.stdin:
            with suppress(OSError):
                self._watcher.stdin.close()
        self._watcher.wait()

    def _write(self, line: str) -> None:
        if self._watcher.stdin:
            with suppress(OSError):  # the watcher was killed: the workers run on without it
                self._watcher.stdin.write(f"{line}\n".encode())
                self._watcher.stdin.flush()


def watch() -> None:
    """The side of the watcher."""
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    _end(groups)


def _end(groups: set[int]) -> None:
    _signal(groups, signal.SIGTERM)
    time.sleep(HURRY_SECONDS if groups else 0)
    _signal(groups, signal.SIGTERM)
    deadline = time.monotonic() + KILL_SECONDS
    while any(map(_is_alive, groups)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _signal(groups: set[int], how: signal.Signals) -> None:
    """To the first process of each group, as a kubelet does."""
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(group, how)


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS: nothing but a zombie is left
        return False
    return True


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watch()
