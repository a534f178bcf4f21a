"""Keeps containerd's images from one start of the cluster to the next, and nothing else of it.

Rule: a store whose containerd was killed is used again once its containers are deleted; one that was in use when the
machine itself went down may lack data, so it is thrown away. The start and the stop of the cluster call it.
"""

import contextlib
import shutil
from functools import partial

from dev.local_cluster.console import ClusterError, until
from dev.local_cluster.containerd import configuration, containers, ctr
from dev.local_cluster.places import Places
from dev.local_cluster.processes import boot_id, check_alive, end, start

IN_USE = "in-use-since-boot"
READY_SECONDS = 30.0


def open_store(places: Places) -> None:
    """Call it before containerd starts."""
    marker = places.image_store / IN_USE
    if marker.exists() and not (marker.read_text() == boot_id() and forget_after_kill(places)):
        shutil.rmtree(places.image_store)
    places.image_store.mkdir(exist_ok=True)
    marker.write_text(boot_id())


def close_store(places: Places) -> None:
    """Call it while containerd still runs, with every pod ended. Without it the next start does the same."""
    with contextlib.suppress(ClusterError):
        if forget_containers(places):
            (places.image_store / IN_USE).unlink(missing_ok=True)


def forget_after_kill(places: Places) -> bool:
    """With a containerd that serves no Kubernetes, as that would try to revive them."""
    config = places.current / "containerd-without-pods.toml"
    config.write_text(configuration(places, disabled=("io.containerd.grpc.v1.cri",)))
    process = start(places, "containerd", ["containerd", "--config", config])
    try:
        alive = partial(check_alive, places, process)
        until(lambda: answers(places), seconds=READY_SECONDS, check=alive, otherwise=lambda: "containerd is silent")
        return forget_containers(places)
    except ClusterError:
        return False
    finally:
        end(process)


def forget_containers(places: Places) -> bool:
    """Whether containerd holds no container any more."""
    if left := containers(places):
        with contextlib.suppress(ClusterError):  # some of them end by themselves
            ctr(places, "containers", "delete", *left)
    return not containers(places)


def answers(places: Places) -> bool:
    try:
        containers(places)
    except ClusterError:
        return False
    return True
