"""A program's standard streams: what cannot be written ends no program and changes no exit code.

Here because the commands of producer and worker share this package alone. Rule: the exit code is about tasks, not about
the reader of the output.
"""

import io
import os
import select
import stat
import sys
from contextlib import suppress
from typing import Any, TextIO, cast


class DroppedOutput(io.RawIOBase):
    """A descriptor to write to; what it refuses is dropped, and the next text is tried again: a disk may have room."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        #: Why the last text that was dropped was; None: nothing was.
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
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # a parent has made it so: node does
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.error = error
                break
        return len(data)


def protect() -> None:
    """Make stdout and stderr take whatever is written, also by a handler. To be called first in a program.

    A closed one of the three gets /dev/null: else the next connection has its number, and what a library writes to
    stderr goes to the broker.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for the process's life
    if sys.stdout is sys.__stdout__:  # else the embedding program has put something there
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


def say(line: str) -> None:
    """Write a line to stdout now; it is lost when a handler has put something there that cannot take it."""
    _write(sys.stdout, line)


def complain(line: str) -> None:
    """The same to stderr."""
    _write(sys.stderr, line)


def flush() -> None:
    """Write what is left of stdout and stderr, or drop it: Python's end would fail with it, with exit code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # put there by a handler: full or broken; closed; no stream
            with suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def fed() -> bool:
    """Whether the standard input is a pipe, a socket or a file: no terminal, not /dev/null, not closed."""
    if sys.stdin is None:
        return False
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):  # put there by the embedding program
        return False
    return not stat.S_ISCHR(mode)


def _write(stream: TextIO, line: str) -> None:
    with suppress(OSError, ValueError, AttributeError):
        stream.write(f"{line}\n")
        stream.flush()


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
