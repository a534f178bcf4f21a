"""Installs the Debian packages that the cluster and the image builds stand on.

Rule: quiet and quick when everything is there; the package lists are fetched only when an install needs them.
`up` calls it first, and so does the image builder.
"""

import shutil
import subprocess

from dev.local_cluster.console import ClusterError, step
from dev.local_cluster.locks import lock_file, locked
from dev.local_cluster.places import places
from dev.local_cluster.programs import run_long

PACKAGES = (
    "etcd-server",
    "containerd",
    "runc",
    "containernetworking-plugins",
    "nftables",
    "iptables",  # containerd and the kubelet look for it
    "iproute2",
    "openssl",
    "ca-certificates",
    "buildah",
    "mmdebstrap",
    "catatonit",  # the pause program of every pod
)

#: Another program that installs something is waited for, ten minutes at most.
APT = ("apt-get", "--option=DPkg::Lock::Timeout=600")


def install_packages() -> None:
    if shutil.which("apt-get") is None:
        raise ClusterError("the local cluster needs Debian 12 or newer: set KUBE_CONTEXT to a cluster you have instead")
    missing = sorted(set(PACKAGES) - installed())
    if not missing:
        return
    install_quietly(missing)


def install_quietly(packages: list[str]) -> None:
    """apt-get install, by one of our programs at a time; other programs' locks are waited for. Raises ClusterError."""
    log = places().cache / "logs" / "apt.log"
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    names = ", ".join(packages)
    with (
        locked(lock_file("apt"), f"the installation of Debian's {names}"),
        step(f"Installing Debian's {names}") as progress,
    ):
        install = [*APT, "install", "--yes", "--no-install-recommends", *packages]
        try:
            run_long(install, log=log, progress=progress, env=quiet)
        except ClusterError:  # most often the package lists are missing or old
            run_long([*APT, "update"], log=log, progress=progress, env=quiet)
            run_long(install, log=log, progress=progress, env=quiet)


def installed() -> set[str]:
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *PACKAGES]
    listing = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    return {line.split()[0] for line in listing.splitlines() if line.endswith(" installed")}
