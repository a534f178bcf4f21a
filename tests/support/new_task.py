"""The new-task command in a process of its own, as a person or a script runs it."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.worker_process import Place


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    code: int
    out: str
    err: str


def new_task(uri: str, directory: Path, *arguments: str, given: bytes = b"", **variables: str) -> Ended:
    """Run it to its end in the directory; its standard input is what is given, or /dev/null."""
    stdin = subprocess.PIPE if given else subprocess.DEVNULL
    process = start_new_task(uri, directory, *arguments, place=None, stdin=stdin, pass_fds=(), **variables)
    out, err = process.communicate(given, timeout=120)
    return Ended(process.returncode, out.decode(), err.decode())


def start_new_task(
    uri: str,
    directory: Path,
    *arguments: str,
    place: Place | None = None,
    stdin: int = subprocess.PIPE,
    pass_fds: tuple[int, ...] = (),
    **variables: str,
) -> "subprocess.Popen[bytes]":
    before = place.command if place else ()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AMQP_", "QUEUE_"))}
    return subprocess.Popen(
        [*before, sys.executable, "-m", "workqueue_producer", *arguments],
        preexec_fn=_hear_hangups,  # noqa: PLW1509 - the tests start it from the main thread
        stdin=stdin,
        pass_fds=pass_fds,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment | {"AMQP_URL": uri} | variables,
        cwd=directory,
    )


def _hear_hangups() -> None:
    """As from a terminal, also where the tests themselves were started to outlive theirs."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
