"""Finds and removes what an earlier start left behind, however it ended: processes, pods, mounts, interfaces, folders.

Rule: only what is provably ours goes: saved pids with their start time, our containers, mounts and folders below our
home, our interfaces. `down` and every fresh `up` call it.
"""

import contextlib
import shutil
import signal
from pathlib import Path

from console import ClusterError
from containerd import containers, ctr
from network import remove_network
from places import Places
from pods import end_pods
from processes import end, saved
from programs import run, succeeds

CLEAN = "stopped-cleanly"


def remove_leftovers(places: Places) -> None:
    """Stop everything, then remove it. A containerd that still runs is asked to forget its pods first, so that its
    unpacked images can be used again; one that was killed loses them."""
    running = {process.name: process for process in saved(places)}
    containerd = running.pop("containerd", None)
    for process in running.values():
        end(process)  # by force: nothing that they hold is used again
    end_pods(places)
    if containerd and containerd.alive:
        if forget_containers(places):
            (places.image_store / CLEAN).touch()
        end(containerd, signal.SIGTERM)
    unmount_below(places.home)
    remove_network()
    remove_folders(places)


def forget_containers(places: Places) -> bool:
    """Whether containerd holds no container any more."""
    try:
        if left := containers(places):
            with contextlib.suppress(ClusterError):  # some of them go by themselves meanwhile
                ctr(places, "containers", "delete", *left)
        return not containers(places)
    except ClusterError:
        return False  # then the next start unpacks its images again


def unmount_below(folder: Path) -> None:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    for point in sorted((point for point in points if point.startswith(f"{folder}/")), reverse=True):
        if not succeeds(["umount", point]):
            run(["umount", "--lazy", point])


def remove_folders(places: Places) -> None:
    for folder in places.home.glob("start-*"):
        shutil.rmtree(folder)
    places.current.unlink(missing_ok=True)
    if not (places.image_store / CLEAN).exists():
        shutil.rmtree(places.image_store, ignore_errors=True)
