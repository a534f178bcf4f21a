"""Runs other programs to their end, with their output in a log and progress on the screen.

Rule: output goes to a log file, never to the screen; a failure raises an error that shows the end of that log.
The builders (packages, node program, images) and the network call it.
"""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dev.local_cluster.console import ClusterError, Step, tail


def run(command: Sequence[str | Path], *, stdin: str | None = None) -> str:
    """Run a quick command and return what it printed; its error text is in the exception."""
    done = subprocess.run([str(part) for part in command], input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise ClusterError(f"{Path(command[0]).name} failed ({done.returncode}): {said}")
    return done.stdout


def succeeds(command: Sequence[str | Path]) -> bool:
    return subprocess.run([str(part) for part in command], capture_output=True, check=False).returncode == 0


def run_long(
    command: Sequence[str | Path],
    *,
    log: Path,
    progress: Step,
    detail: Callable[[], str] = lambda: "",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a command that takes long: append its output to `log`, show the `detail` on `progress` while it runs."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **(env or {})},
        )
        try:
            wait_showing(process, progress, detail)
        except BaseException:
            process.kill()
            process.wait()
            raise
    if process.returncode:
        raise ClusterError(f"{Path(command[0]).name} failed ({process.returncode}). Its log is {log}:\n{tail(log)}")


def wait_showing(process: "subprocess.Popen[bytes]", progress: Step, detail: Callable[[], str]) -> None:
    while True:
        try:
            process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            progress.show(detail())
        else:
            return
