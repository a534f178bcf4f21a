"""The addresses of the cluster, and the node's own bridge.

Rule: all names of interfaces and networks are ours alone, so that removing them hits no other program's. The one name
that is not ours to choose is that of kube-proxy's tables: they are ours only when we started a kube-proxy since boot.
"""

import json
from pathlib import Path

from dev.local_cluster.places import NAME
from dev.local_cluster.programs import run, succeeds

BRIDGE = "workqueue0"
NODE_IP = "10.245.0.1"
SERVICE_RANGE = "10.96.0.0/16"
KUBERNETES_SERVICE_IP = "10.96.0.1"
POD_RANGE = "10.244.0.0/22"
RULES = "kube-proxy"
CLUSTER_DOMAIN = "cluster.local"


def create_bridge() -> None:
    """The node's address lies on a bridge: the kubelet refuses a loopback address, and some kernels lack dummies."""
    if not succeeds(["ip", "link", "show", BRIDGE]):
        run(["ip", "link", "add", BRIDGE, "type", "bridge"])
    run(["ip", "address", "replace", f"{NODE_IP}/24", "dev", BRIDGE])
    run(["ip", "link", "set", BRIDGE, "up"])
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")


def remove_network(*, with_rules: bool) -> None:
    """Remove the bridge, and kube-proxy's rules if they are ours; pods' interfaces went with their namespaces."""
    if succeeds(["ip", "link", "show", BRIDGE]):
        run(["ip", "link", "delete", BRIDGE])
    for family in rule_families() if with_rules else ():
        run(["nft", "delete", "table", family, RULES])


def rule_families() -> list[str]:
    """The address families for which a kube-proxy has its rules on this machine."""
    return [family for family in ("ip", "ip6") if succeeds(["nft", "list", "table", family, RULES])]


def write_pod_network(folder: Path, addresses: Path) -> None:
    """Each pod gets a cable of its own to the host: on a shared bridge, answers from a service's pod would bypass the
    address translation of the kernel."""
    folder.mkdir()
    ptp = {
        "type": "ptp",
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": POD_RANGE}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(addresses),
        },
    }
    network = {"cniVersion": "1.0.0", "name": NAME, "plugins": [ptp]}
    (folder / "10-workqueue.conflist").write_text(json.dumps(network, indent=2))
