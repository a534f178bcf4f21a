"""Which cluster the demo and the tests use, and what a program's environment must be to reach it.

Rule: never kubectl's current context, and never ~/.kube/config: the cluster is the one that KUBE_CONTEXT names, else
kind where docker and kind are there, else the local one-node cluster of dev/local_cluster. What is wrong is reported
before anything is made.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection
from enum import Enum
from pathlib import Path

from dev.local_cluster.locks import lock_file, locked
from dev.local_cluster.places import places

CHECKOUT = Path(__file__).resolve().parents[1]

LOCAL_CLUSTER = [sys.executable, "-m", "dev.local_cluster"]
LOCAL_CONTEXT = "workqueue-local"
KIND_NAME = "workqueue"
KIND_CONTEXT = f"kind-{KIND_NAME}"


class NoCluster(Exception):
    """The cluster cannot be used; the message says what to do."""


class Choice(Enum):
    """Whose cluster it is."""

    GIVEN = "the one that KUBE_CONTEXT names"
    KIND = "kind's"
    LOCAL = "the local one of dev/local_cluster"


def choose(context: str, has_kind: Callable[[], bool]) -> Choice:
    """Choose the cluster by `context` (KUBE_CONTEXT). kind is asked only when it is empty."""
    if context and context != LOCAL_CONTEXT:
        return Choice.GIVEN
    return Choice.KIND if not context and has_kind() else Choice.LOCAL


def check_programs(missing: Collection[str]) -> None:
    if missing:
        raise NoCluster(f"{' and '.join(missing)} must be on the PATH: install {'it' if len(missing) == 1 else 'them'}")


def check_context(context: str, known: Collection[str]) -> None:
    if context not in known:
        there = ", ".join(sorted(known)) or "none"
        raise NoCluster(f"KUBE_CONTEXT={context}: kubectl knows no context of that name; there are: {there}")


def parse_exports(printed: str, path: str) -> dict[str, str]:
    """What `dev/local_cluster env` prints for a shell, as values; `path` is the PATH that it extends."""
    values = dict(re.findall(r'^export (\w+)="(.*)"$', printed, re.MULTILINE))
    return {name: value.replace("$PATH", path) for name, value in values.items()}


def how_to_remove(context: str) -> str:
    """A sentence about a cluster that we made; nothing about others."""
    if context == LOCAL_CONTEXT:
        return "`make cluster-down` stops it; built images stay for the next time."
    if context == KIND_CONTEXT:
        return f"`kind delete cluster --name {KIND_NAME}` removes it."
    return ""


def environment(*, make: bool) -> dict[str, str] | None:
    """KUBE_CONTEXT, and KUBECONFIG and PATH where the cluster has its own.

    `make`: bring up kind's or the local cluster when it is not there; else the answer is None then.
    Raises NoCluster, and CalledProcessError of a program that has printed why.
    """
    context = os.environ.get("KUBE_CONTEXT", "")
    match choose(context, has_kind):
        case Choice.GIVEN:
            check_programs([name for name in ("kubectl", "helm") if not shutil.which(name)])
            check_context(context, _answer(["kubectl", "config", "get-contexts", "--output=name"]).split())
            return {"KUBE_CONTEXT": context}
        case Choice.KIND:
            check_programs([name for name in ("kubectl", "helm") if not shutil.which(name)])
            return _kind(make=make)
        case Choice.LOCAL:
            return _local(make=make)


def local_environment() -> dict[str, str]:
    """For the local cluster, whether or not it is up."""
    return parse_exports(_answer([*LOCAL_CLUSTER, "env"]), os.environ.get("PATH", os.defpath))


def is_at_hand() -> bool:
    """Whether KUBE_CONTEXT names a cluster, or kind can make one."""
    context = os.environ.get("KUBE_CONTEXT", "")
    return bool(context) or choose(context, has_kind) is not Choice.LOCAL


def has_kind() -> bool:
    """kind is there, and a docker engine that answers."""
    return bool(shutil.which("kind")) and has_docker()


def has_docker() -> bool:
    """An engine answers."""
    return bool(shutil.which("docker")) and _succeeds(["docker", "info"])


def _local(*, make: bool) -> dict[str, str] | None:
    if make:
        subprocess.run([*LOCAL_CLUSTER, "up"], stdout=subprocess.DEVNULL, check=True)
    elif not _succeeds([*LOCAL_CLUSTER, "status"]):
        return None
    return local_environment()


def _kind(*, make: bool) -> dict[str, str] | None:
    """Its kubeconfig lies in our cache. Of two programs at once the second finds the cluster of the first."""
    with locked(lock_file("kind"), "the making of a kind cluster"):
        return _kind_alone(places().cache / "kind-kubeconfig", make=make)


def _kind_alone(kubeconfig: Path, *, make: bool) -> dict[str, str] | None:
    if KIND_NAME in _answer(["kind", "get", "clusters"]).split():
        subprocess.run(
            ["kind", "export", "kubeconfig", "--name", KIND_NAME, "--kubeconfig", str(kubeconfig)], check=True
        )
    elif make:
        subprocess.run(["kind", "create", "cluster", "--name", KIND_NAME, "--kubeconfig", str(kubeconfig)], check=True)
    else:
        return None
    return {"KUBE_CONTEXT": KIND_CONTEXT, "KUBECONFIG": str(kubeconfig)}


def _answer(command: list[str]) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
