"""The lines of a stream that may never end: read as they come, and left without losing one that was read."""

import os
import select
import stat
from collections import deque
from collections.abc import Iterator

from workqueue_producer.interruption import Interruption
from workqueue_producer.task_file import without_end

#: Bytes at most of one read.
_BLOCK = 65536


class LineStream:
    """Iterates over the lines, without their ends; an interruption ends it while it waits."""

    def __init__(self, descriptor: int, interruption: Interruption) -> None:
        self._descriptor = descriptor
        self._interruption = interruption
        #: A file as the standard input: it has an end and never makes us wait.
        self._is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._lines: deque[bytes] = deque()
        #: The start of a line whose end was not read.
        self._parts: list[bytes] = []
        self._reads_left: int | None = None
        #: Whether the end of the stream was seen.
        self.ended = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """The next line; raises OSError."""
        while not self._lines:
            if self.ended or not self._may_read():
                raise StopIteration
            self._read()
        return self._lines.popleft()

    def leave(self) -> None:
        """What was read is still given out, and what a file has; of a stream no more than is there now."""
        self._reads_left = 1  # one, to see the end when there is nothing else

    def _may_read(self) -> bool:
        if self._is_file:
            return True
        if self._reads_left is None:
            return self._interruption.wait(None, self._descriptor)
        self._reads_left -= 1
        return self._reads_left >= 0 and bool(select.select([self._descriptor], [], [], 0)[0])

    def _read(self) -> None:
        try:
            block = os.read(self._descriptor, _BLOCK)
        except BlockingIOError:  # another process that reads the same pipe was quicker
            return
        self._parts.append(block)
        if not block:
            self.ended = True
            last = b"".join(self._parts)
            self._lines.extend([without_end(last)] if last else ())
        elif b"\n" in block:
            *lines, part = b"".join(self._parts).split(b"\n")
            self._lines.extend(map(without_end, lines))
            self._parts = [part]
