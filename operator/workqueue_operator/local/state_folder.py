"""The folder of one `local` that runs: its workers' output, and its WorkQueues' status for `explain --local`.

A lock of the kernel says that it runs, and ends with it. What a killed one left is removed by the next.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from workqueue_operator.resource import Key

STATE, LOCK = "state.json", "lock"


class Unusable(Exception):
    """The folder cannot be used; the message names it and the remedy."""


class StateFolder:
    """Ours until close()."""

    def __init__(self) -> None:
        """Raises Unusable."""
        base = _base()
        with _locked(base / LOCK):
            _remove_left(base)
            self.path = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=base))
            self._lock = (self.path / LOCK).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def write(self, bodies: Sequence[Mapping[str, Any]]) -> None:
        """The WorkQueues with their status; whole, or as they were before."""
        part = self.path / f"{STATE}.part"
        part.write_text(json.dumps(bodies, default=str), encoding="utf-8")
        part.replace(self.path / STATE)

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def workqueues() -> list[Mapping[str, Any]]:
    """Those of each `local` of this user that runs. Raises Unusable."""
    held = (folder for folder in sorted(_base().iterdir()) if folder.is_dir() and _is_held(folder / LOCK))
    return [body for folder in held for body in _bodies(folder)]


def find_workqueue(key: Key) -> Mapping[str, Any] | None:
    """A WorkQueue of any `local` of this user that runs; None: none has it. Raises Unusable."""
    return next((body for body in workqueues() if Key.of(body) == key), None)


def _bodies(folder: Path) -> Sequence[Mapping[str, Any]]:
    try:
        return list(json.loads((folder / STATE).read_text(encoding="utf-8")))
    except FileNotFoundError:  # it is just starting
        return []


def _base() -> Path:
    """A folder that this user alone may read: command lines and output may hold what is not for others."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    base = (
        Path(runtime) / "workqueue-local" if runtime else Path(tempfile.gettempdir()) / f"workqueue-local-{os.getuid()}"
    )
    try:
        base.mkdir(mode=0o700, exist_ok=True)
        found = base.lstat()
    except OSError as error:
        raise Unusable(f"cannot make {base}: {error.strerror}; set XDG_RUNTIME_DIR to a folder of yours") from error
    if not base.is_dir() or base.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Unusable(f"{base} is not a folder of this user alone: remove it, or set XDG_RUNTIME_DIR to one of yours")
    return base


def _remove_left(base: Path) -> None:
    for folder in base.iterdir():
        if folder.is_dir() and not _is_held(folder / LOCK):
            shutil.rmtree(folder, ignore_errors=True)


def _is_held(path: Path) -> bool:
    """Whether the one that made it still runs."""
    with suppress(FileNotFoundError), path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


@contextmanager
def _locked(path: Path) -> Iterator[TextIO]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
