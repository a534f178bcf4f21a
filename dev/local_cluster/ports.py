"""The ports of the cluster's programs: one block, chosen at each start so that no other program listens in it.

Rule: a running cluster's block is written in its folder, so that every command of every checkout finds it there.
"""

from collections.abc import Callable
from dataclasses import dataclass

from dev.local_cluster.console import ClusterError
from dev.local_cluster.listeners import listens
from dev.local_cluster.network import NODE_IP
from dev.local_cluster.places import Places

#: Where a block may begin: below the ports of the tests (HeldPort) and those that the kernel gives.
BASES = range(16000, 20000, 500)
HEALTH = {
    "kube-controller-manager": 257,
    "kube-scheduler": 259,
    "kube-proxy": 256,
    "kubelet": 248,
    "coredns": 181,
}


@dataclass(frozen=True)
class Ports:
    """One block."""

    base: int = BASES.start

    @property
    def etcd_url(self) -> str:
        return f"http://127.0.0.1:{self.base + 379}"

    @property
    def etcd_peer_url(self) -> str:
        return f"http://127.0.0.1:{self.base + 380}"

    @property
    def api(self) -> int:
        """On the node's own address."""
        return self.base + 443

    @property
    def api_url(self) -> str:
        return f"https://{NODE_IP}:{self.api}"

    @property
    def kubelet(self) -> int:
        """On the node's own address."""
        return self.base + 250

    @property
    def kube_proxy_metrics(self) -> int:
        return self.base + 249

    def health(self, program: str) -> int:
        return self.base + HEALTH[program]

    @property
    def all(self) -> tuple[int, ...]:
        others = (379, 380, 443, 249, 250)
        return tuple(self.base + offset for offset in (*HEALTH.values(), *others))

    def taken(self, listened_on: Callable[[int], bool] = listens) -> int | None:
        """A port of the block that a program listens on; None when there is none."""
        return next((port for port in self.all if listened_on(port)), None)


def choose_ports(listened_on: Callable[[int], bool] = listens) -> Ports:
    """The first free block. Call it when no program of an earlier start runs any more."""
    for base in BASES:
        if Ports(base).taken(listened_on) is None:
            return Ports(base)
    raise ClusterError(f"another program listens on a port of each block from {BASES.start} to {BASES.stop}")


def save_ports(places: Places, ports: Ports) -> None:
    (places.current / "base-port").write_text(f"{ports.base}\n")


def saved_ports(places: Places) -> Ports:
    """Those of the latest start. An earlier state of this program wrote none and always had the first block."""
    try:
        return Ports(int((places.current / "base-port").read_text()))
    except FileNotFoundError:
        return Ports()
