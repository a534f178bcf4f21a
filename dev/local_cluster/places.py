"""Where the local cluster keeps its things: a cache that outlives it, and a home that is emptied at every start.

Rule: nothing lies in the checkout, in ~/.kube, or in a folder that the machine's own containerd or etcd uses.
Every other module of this folder asks here for a path.
"""

import os
from dataclasses import dataclass
from pathlib import Path

NAME = "workqueue-local"
CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Places:
    """`cache`: what took long to make. `home`: everything of the cluster that runs, or ran last."""

    cache: Path
    home: Path

    @property
    def current(self) -> Path:
        """A link to the folder of the latest start."""
        return self.home / "current"

    @property
    def image_store(self) -> Path:
        """containerd's images. They survive a clean stop, since unpacking them again takes longer than all the rest."""
        return self.home / "image-store"

    @property
    def build_store(self) -> Path:
        """buildah's layers: base images and build cache."""
        return self.cache / "buildah"

    @property
    def partial(self) -> Path:
        """What is being made. It moves to its place when it is whole; what is left here is of a run that was killed."""
        return self.cache / "partial"

    @property
    def kubeconfig(self) -> Path:
        return self.current / "kubeconfig"

    @property
    def containerd_socket(self) -> Path:
        return self.current / "containerd.sock"

    @property
    def logs(self) -> Path:
        return self.current / "logs"

    @property
    def processes(self) -> Path:
        return self.current / "processes"

    @property
    def lock(self) -> Path:
        return self.home / "lock"


def places() -> Places:
    cache_root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Places(cache=cache_root / "workqueue", home=Path("/var/lib/workqueue-cluster"))
