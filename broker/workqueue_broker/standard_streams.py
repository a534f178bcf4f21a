"""A command's standard streams: what cannot be written ends no command and changes no exit code.

Here because the commands of producer and worker share this package alone. Rule: the exit code is about tasks, not about
whoever reads the output.
"""

import io
import os
import select
import stat
import sys
from contextlib import suppress
from typing import Any, TextIO, cast


class DroppedOutput(io.RawIOBase):
    """A descriptor to write to; what it refuses is dropped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        #: Why something was dropped; None: nothing was.
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:  # the library gives a memoryview
        """All of it: the text layer of an unbuffered stream does not look at how much was taken."""
        left = memoryview(data)
        while left and self.error is None:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # a parent has made it so: node does
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.error = error
        return len(data)


def protect() -> None:
    """Make stdout and stderr take whatever is written. To be called first in a program.

    A closed one of the three gets /dev/null: else the next connection has its number, and what a library writes to
    stderr goes to the broker.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdout is sys.__stdout__:  # else whoever embeds us has put something there
        sys.stdout = _protected(sys.stdout, 1)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _protected(sys.stderr, 2)


def problem_of(stream: TextIO) -> OSError | None:
    """Why something that was written there was dropped; None: nothing was, as far as is known."""
    with suppress(OSError, ValueError):
        stream.flush()
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    return raw.error if isinstance(raw, DroppedOutput) else None


def fed() -> bool:
    """Whether the standard input is a pipe, a socket or a file: no terminal, not /dev/null, not closed."""
    if sys.stdin is None:
        return False
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):  # put there by whoever embeds us
        return False
    return not stat.S_ISCHR(mode)


def _protected(stream: TextIO | None, descriptor: int) -> TextIO:
    """A stream like the given one; None: a closed one."""
    raw = DroppedOutput(descriptor)
    unbuffered = getattr(stream, "write_through", False)
    return io.TextIOWrapper(
        cast("io.BufferedWriter", raw) if unbuffered else io.BufferedWriter(raw),
        stream.encoding if stream is not None else "utf-8",
        errors="backslashreplace",  # a character that the encoding lacks must not end us either
        line_buffering=descriptor == 2 or os.isatty(descriptor),
        write_through=unbuffered,
    )
