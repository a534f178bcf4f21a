"""Our own containerd: its configuration, its command, and the few questions that we ask it.

Rule: its root, state and socket are ours; the machine's containerd, if it has one, never hears of us.
"""

from collections.abc import Iterable
from pathlib import Path

from dev.local_cluster.places import Places
from dev.local_cluster.programs import run

CNI_PROGRAMS = "/usr/lib/cni"
UNUSED = tuple(f"io.containerd.snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "zfs"))


def configuration(places: Places, *, disabled: Iterable[str] = ()) -> str:
    unused = ", ".join(f'"{name}"' for name in (*UNUSED, *disabled))
    return f"""version = 2
root = "{places.image_store}"
state = "{places.current.resolve()}/containerd"
disabled_plugins = [{unused}]

[grpc]
  address = "{places.containerd_socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{places.current.resolve()}/opt"
"""


def kubernetes_configuration(places: Places, *, pause_image: str, pod_network: Path) -> str:
    """`restrict_oom_score_adj`: machines without CAP_SYS_RESOURCE fail every pod without it. The network namespaces lie
    in our own folder, so that the sweep after a hard kill finds them."""
    return f"""{configuration(places)}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{CNI_PROGRAMS}"
  conf_dir = "{pod_network}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  Root = "{places.current.resolve()}/runc"
"""


def ctr(places: Places, *words: str | Path) -> str:
    return run(["ctr", "--address", places.containerd_socket, "--namespace", "k8s.io", *words])


def images(places: Places) -> set[str]:
    return set(ctr(places, "images", "list", "--quiet").split())


def containers(places: Places) -> list[str]:
    return ctr(places, "containers", "list", "--quiet").split()
