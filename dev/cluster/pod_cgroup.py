"""The one cgroup that all pods of the cluster lie in, on either version of cgroups.

Rule: whatever is in it is ours, so ending every process there ends every pod and nothing else.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

from console import ClusterError

NAME = "workqueue-cluster"
ROOT = Path("/sys/fs/cgroup")
GONE_SECONDS = 20.0


def create_cgroup() -> None:
    """The kubelet measures the pods' memory in it and complains as long as it is missing."""
    for hierarchy in hierarchies():
        if hierarchy.name != "cpuset":  # unusable until its CPUs are set, which runc does
            (hierarchy / NAME).mkdir(exist_ok=True)


def hierarchies() -> list[Path]:
    """One for each controller in version 1, a single one in version 2."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [folder for folder in ROOT.iterdir() if folder.is_mount() and not folder.is_symlink()]


def end_pods() -> None:
    """Kill every process of every pod, until there is none."""
    deadline = time.monotonic() + GONE_SECONDS
    while pids := pod_pids():
        if time.monotonic() > deadline:
            raise ClusterError(f"processes of pods do not end: {sorted(pids)}. Look at them with ps, then try again")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def pod_pids() -> set[int]:
    found: set[int] = set()
    for hierarchy in hierarchies():
        for path in (hierarchy / NAME).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):  # the cgroup went between listing and reading
                found.update(int(pid) for pid in path.read_text().split())
    return found


def remove_cgroup() -> None:
    for hierarchy in hierarchies():
        for path, _, _ in os.walk(hierarchy / NAME, topdown=False):
            with contextlib.suppress(OSError):  # one that the kernel still holds is empty and harms nobody
                os.rmdir(path)
