"""Standard input, output and error: there from the start, and no reason for a failure when nobody reads them."""

import contextlib
import os
import sys
from typing import TextIO


def open_missing() -> None:
    """Open /dev/null for each of the three that the process was started without.

    Else the next socket would get its number, and print() in a handler would raise.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            mode, errors = ("r", "strict") if number == 0 else ("w", "backslashreplace")
            setattr(sys, name, open(number, mode, errors=errors, closefd=False))  # noqa: SIM115 - for the process's life


def say(line: str) -> None:
    """Write a line to stdout; it is lost when stdout is full, closed or a broken pipe."""
    _write(sys.stdout, line)


def complain(line: str) -> None:
    """The same to stderr."""
    _write(sys.stderr, line)


def flush() -> None:
    """Write what is left of stdout and stderr, or drop it: Python's end would fail with it, and say exit code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # full or broken; closed; replaced by a handler
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _write(stream: TextIO, line: str) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.write(f"{line}\n")
        stream.flush()
