"""The unconfirmed file on disk, which several runs of new-task may add to and resend at the same time.

Rule: a run writes while it holds the file's lock. A resend renames the file and keeps it locked until each of its tasks
is confirmed or written back, so that another run's tasks go to a new file and a killed resend's file stays. The next
resend takes up each file whose lock is free: flock(2) ends with the process.
"""

import errno
import fcntl
import os
import stat
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from workqueue_producer.task import Task
from workqueue_producer.task_file import BadTaskFile, as_line, read_unconfirmed

#: Seconds that another run may hold the lock: it writes its tasks, or reads the file before it takes it.
LOCK_SECONDS = 30.0
_LOOK_SECONDS = 0.02
#: Between the name of the file and what makes the name of a taken one unique.
TAKEN = ".resending-"


def add_unconfirmed(path: Path, tasks: Iterable[Task]) -> int:
    """Add the tasks to the file, all or none, and return how many; no file is made for none. Raises OSError."""
    lines = [as_line(task) for task in tasks]
    if lines:
        _append(path, b"".join(lines))
    return len(lines)


class TakenTasks:
    """The tasks of an unconfirmed file and of what killed resends of it left, for this process alone."""

    def __init__(self, path: Path) -> None:
        """Take them; raises FileNotFoundError or BadTaskFile, and then leaves each file where it is."""
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            raise BadTaskFile(f"--resend: {path} is not a file; what is confirmed could not be taken out of it")
        #: Where what is left goes; a link is followed, so that a rename stays in one file system.
        self._path = path.resolve()
        #: The taken files with the descriptors that hold their locks.
        self._held: dict[Path, int] = {}
        self.tasks: list[Task] = []
        try:
            busy = self._take_left_over()
            self._take_file(path, busy)
        except BaseException as error:
            self._let_go()
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                problem = f"cannot take {path}: {error.strerror}; it and its folder must be writable"
                raise BadTaskFile(f"--resend: {problem}") from error
            raise

    @property
    def files(self) -> tuple[Path, ...]:
        """Under which names the tasks are on disk now."""
        return tuple(self._held)

    def give_back(self, tasks: Iterable[Task]) -> int:
        """Leave only these tasks on disk, under the file's own name; how many. After OSError the taken files stay."""
        try:
            count = add_unconfirmed(self._path, tasks)
            for file in self._held:
                file.unlink()
            return count
        finally:
            self._let_go()

    def _take_left_over(self) -> bool:
        """True when another resend has some of the file's tasks in hand."""
        busy = False
        prefix = f"{self._path.name}{TAKEN}"
        for file in sorted(self._path.parent.iterdir()):
            if file.name.startswith(prefix):
                with suppress(FileNotFoundError):  # its resend has just ended
                    busy |= not self._hold(file)
        for file in self._held:
            self._read(file)
        return busy

    def _hold(self, file: Path) -> bool:
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        if _lock(descriptor, file):
            self._held[file] = descriptor
            return True
        os.close(descriptor)
        return False

    def _take_file(self, given: Path, busy: bool) -> None:
        try:
            descriptor = _open_locked(self._path, os.O_RDWR)
        except FileNotFoundError:
            if busy:
                raise BadTaskFile(f"--resend: another new-task is sending the tasks of {given} now") from None
            if not self._held:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(given)) from None
            return
        taken = self._path.with_name(f"{self._path.name}{TAKEN}{uuid.uuid4().hex}")
        self._held[self._path] = descriptor
        self._read(self._path)  # before the rename: after a bad line the file keeps its name
        self._path.rename(taken)
        self._held[taken] = self._held.pop(self._path)

    def _read(self, file: Path) -> None:
        """A resend that was killed as it wrote back has left the same task in two files."""
        seen = {task.message_id for task in self.tasks if task.message_id}
        self.tasks.extend(task for task in read_unconfirmed(file) if task.message_id not in seen)

    def _let_go(self) -> None:
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()


def _append(path: Path, lines: bytes) -> None:
    if path.exists() and not path.is_file():  # a pipe or a device, which has neither a lock nor an end
        with path.open("ab") as stream:
            stream.write(lines)
        return
    descriptor = _open_locked(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        _write_at_end(descriptor, lines)
    finally:
        os.close(descriptor)


def _write_at_end(descriptor: int, lines: bytes) -> None:
    """All of it, on the disk, or nothing."""
    size = os.fstat(descriptor).st_size
    unfinished = size and os.pread(descriptor, 1, size - 1) != b"\n"
    try:
        with open(descriptor, "ab", closefd=False) as stream:
            stream.write(b"\n" + lines if unfinished else lines)
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _open_locked(path: Path, flags: int) -> int:
    """A descriptor of the file that has this name now, with its lock; raises OSError."""
    give_up_at = time.monotonic() + LOCK_SECONDS
    while True:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
        try:
            if _lock(descriptor, path):
                return descriptor
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if time.monotonic() > give_up_at:
            raise OSError(errno.EAGAIN, f"another new-task has had it locked for {LOCK_SECONDS:g} s", str(path))
        time.sleep(_LOOK_SECONDS)


def _lock(descriptor: int, path: Path) -> bool:
    """False when another process has the lock, or has renamed or removed the file since it was opened."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
