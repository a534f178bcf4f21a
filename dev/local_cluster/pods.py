"""Ends the cluster's pods and removes what they leave on the machine, whether containerd still runs or was killed too.

Rule: a container is ours when its bundle lies below our home; its id names its cgroup and its other traces.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from dev.local_cluster.console import ClusterError
from dev.local_cluster.places import Places

BUNDLES = "start-*/containerd/io.containerd.runtime.v2.task/k8s.io/*"
CGROUPS = Path("/sys/fs/cgroup")
NETWORK_RESULTS = Path("/var/lib/cni/results")
POD_LOG_LINKS = Path("/var/log/containers")
GONE_SECONDS = 20.0


def end_pods(places: Places) -> None:
    bundles = list(places.home.glob(BUNDLES))
    cgroups = [cgroup for bundle in bundles for cgroup in cgroups_of(bundle.name)]
    kill_all_in(cgroups)
    end_shims(places)
    for cgroup in cgroups:
        with contextlib.suppress(OSError):  # gone already, or still held by the kernel and empty
            cgroup.rmdir()
    for bundle in bundles:
        remove_traces(bundle)
    for link in POD_LOG_LINKS.glob("*.log"):
        if link.is_symlink() and str(link.readlink()).startswith(f"{places.home}/"):
            link.unlink()


def cgroups_of(container: str) -> list[Path]:
    """Version 1 has one for each controller, version 2 a single one."""
    return [CGROUPS / "k8s.io" / container, *CGROUPS.glob(f"*/k8s.io/{container}")]


def kill_all_in(cgroups: Iterable[Path]) -> None:
    """Kill every process of every pod, until there is none."""
    deadline = time.monotonic() + GONE_SECONDS
    while pids := processes_in(cgroups):
        if time.monotonic() > deadline:
            raise ClusterError(f"processes of pods do not end: {sorted(pids)}. Look at them with ps, then try again")
        for pid in pids:
            kill(pid)
        time.sleep(0.05)


def processes_in(cgroups: Iterable[Path]) -> set[int]:
    found: set[int] = set()
    for cgroup in cgroups:
        with contextlib.suppress(OSError):  # it has ended
            found.update(int(pid) for pid in (cgroup / "cgroup.procs").read_text().split())
    return found


def end_shims(places: Places) -> None:
    """Shims are daemons that containerd leaves running; ours carry the path of our socket in their command line."""
    socket = str(places.containerd_socket).encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if words[0].endswith(b"containerd-shim-runc-v2") and socket in words:
            kill(int(folder.name))


def remove_traces(bundle: Path) -> None:
    """What shims and network programs keep in folders that they share with every containerd of the machine."""
    with contextlib.suppress(OSError):
        Path((bundle / "address").read_text().strip().removeprefix("unix://")).unlink()
    for result in NETWORK_RESULTS.glob(f"*-{bundle.name}-*"):
        result.unlink(missing_ok=True)


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
