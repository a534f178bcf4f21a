"""Finds and removes what an earlier start left behind, however it ended: processes, pods, mounts, interfaces, folders.

Rule: only what is provably ours goes: saved pids with their start time, our containers, mounts and folders below our
home, our interfaces. `down` and every fresh `up` call it.
"""

import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

from dev.local_cluster.image_store import close_store
from dev.local_cluster.network import remove_network
from dev.local_cluster.places import Places
from dev.local_cluster.pods import end_pods
from dev.local_cluster.processes import Started, boot_id, end, saved
from dev.local_cluster.programs import run, succeeds


def remove_leftovers(places: Places) -> None:
    running = {process.name: process for process in saved(places)}
    rules_are_ours = started_since_boot("kube-proxy", running.values(), boot_id())
    containerd = running.pop("containerd", None)
    for process in running.values():
        end(process)  # by force: nothing that they hold is used again
    end_pods(places)
    if containerd and containerd.alive:
        close_store(places)
        end(containerd, signal.SIGTERM)
    unmount_below(places.home)
    remove_network(with_rules=rules_are_ours)
    for folder in places.home.glob("start-*"):
        shutil.rmtree(folder)
    places.current.unlink(missing_ok=True)


def started_since_boot(name: str, saved_processes: Iterable[Started], boot: str) -> bool:
    """Whether what such a program made in the kernel is ours: we started it, and the kernel is still the same."""
    return any(process.name == name and process.boot == boot for process in saved_processes)


def unmount_below(folder: Path) -> None:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    for point in sorted((point for point in points if point.startswith(f"{folder}/")), reverse=True):
        if not succeeds(["umount", point]):
            run(["umount", "--lazy", point])
