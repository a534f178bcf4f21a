"""Starts the cluster's programs so that they outlive the shell, and stops exactly those again.

Rule: a saved pid counts only together with the boot and the start time of its process, so that a number that the
system has since given to another program's process is never touched.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dev.local_cluster.console import ClusterError, tail
from dev.local_cluster.places import Places

TERM_SECONDS = 10.0


@dataclass(frozen=True)
class Started:
    """One program of ours. `ticks`: its start time in clock ticks since boot; `boot`: the boot that they count from."""

    name: str
    pid: int
    ticks: int
    boot: str

    @property
    def alive(self) -> bool:
        return self.boot == boot_id() and self.ticks == start_ticks(self.pid)


def start(places: Places, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Started:
    """Start a program in a session of its own, so that no Ctrl+C or closed terminal reaches it."""
    places.logs.mkdir(parents=True, exist_ok=True)
    places.processes.mkdir(parents=True, exist_ok=True)
    with (places.logs / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=places.current,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    started = Started(name=name, pid=process.pid, ticks=start_ticks(process.pid) or 0, boot=boot_id())
    record = places.processes / f"{name}.json"
    record.with_suffix(".tmp").write_text(json.dumps(asdict(started)))
    record.with_suffix(".tmp").rename(record)
    return started


def saved(places: Places) -> list[Started]:
    """What the latest start began, dead or alive, in no particular order."""
    return [Started(**json.loads(path.read_text())) for path in sorted(places.processes.glob("*.json"))]


def check_alive(places: Places, started: Started) -> None:
    if not started.alive:
        log = places.logs / f"{started.name}.log"
        raise ClusterError(f"{started.name} ended right after its start. Its log is {log}:\n{tail(log)}")


def end(process: Started, number: signal.Signals = signal.SIGKILL) -> None:
    """End one program, and by force after a while if it was asked kindly and did not."""
    deadline = time.monotonic() + TERM_SECONDS
    send(process, number)
    while process.alive:
        if time.monotonic() > deadline:
            send(process, signal.SIGKILL)
        time.sleep(0.02)


def send(process: Started, number: signal.Signals) -> None:
    if process.alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """When a process started, in ticks since boot; None when there is none, or only its remains (a zombie)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = text.rpartition(")")[2].split()
    return None if state in "ZX" else int(rest[18])
