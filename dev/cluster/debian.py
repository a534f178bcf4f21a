"""Installs the Debian packages that the cluster and the image builds stand on.

Rule: quiet and quick when everything is there; the package lists are fetched only when an install needs them.
`up` calls it first, and so does the image builder.
"""

import shutil
import subprocess

from console import ClusterError, step
from places import Places
from programs import run_long

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


def install_packages(places: Places) -> None:
    if shutil.which("apt-get") is None:
        raise ClusterError("the local cluster needs Debian 12 or newer: set KUBE_CONTEXT to a cluster you have instead")
    missing = sorted(set(PACKAGES) - installed())
    if not missing:
        return
    log = places.cache / "logs" / "apt.log"
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"Installing {len(missing)} Debian packages ({', '.join(missing)})") as progress:
        install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
        try:
            run_long(install, log=log, progress=progress, env=quiet)
        except ClusterError:  # most often the package lists are missing or old
            run_long(["apt-get", "update"], log=log, progress=progress, env=quiet)
            run_long(install, log=log, progress=progress, env=quiet)


def installed() -> set[str]:
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *PACKAGES]
    listing = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    return {line.split()[0] for line in listing.splitlines() if line.endswith(" installed")}
