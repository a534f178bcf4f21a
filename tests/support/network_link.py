"""A network of its own for one process, behind a link that can be cut. Needs root and iproute2; Linux only."""

import os
import subprocess
import uuid

from worker_process import Place

HERE = "10.231.77.1"
THERE = "10.231.77.2"


class NetworkLink:
    """A network namespace and a pair of virtual cards. Cutting it loses packets; nobody is told."""

    def __init__(self) -> None:
        name = uuid.uuid4().hex[:6]
        self.namespace, self._card, self._other_card = f"wq-{name}", f"wq{name}a", f"wq{name}b"
        self._ip("netns", "add", self.namespace)
        self._ip("link", "add", self._card, "type", "veth", "peer", "name", self._other_card, "netns", self.namespace)
        self._ip("address", "add", f"{HERE}/30", "dev", self._card)
        self._ip("link", "set", self._card, "up")
        self._ip("-netns", self.namespace, "address", "add", f"{THERE}/30", "dev", self._other_card)
        self._ip("-netns", self.namespace, "link", "set", self._other_card, "up")
        self._ip("-netns", self.namespace, "link", "set", "lo", "up")

    @property
    def place(self) -> Place:
        """For a worker behind the link. Its probes can be asked while the link is up."""
        return Place(command=("ip", "netns", "exec", self.namespace), host=THERE)

    def cut(self) -> None:
        self._ip("-netns", self.namespace, "link", "set", self._other_card, "down")

    def mend(self) -> None:
        self._ip("-netns", self.namespace, "link", "set", self._other_card, "up")

    def close(self) -> None:
        self._ip("netns", "delete", self.namespace)

    @staticmethod
    def can_be_made() -> bool:
        return os.geteuid() == 0 and os.path.exists("/sbin/ip")

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["/sbin/ip", *arguments], check=True, capture_output=True)
