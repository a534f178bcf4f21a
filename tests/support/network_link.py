"""A network of its own for one process, behind a link that can be cut. Needs root and iproute2; Linux only."""

import os
import random
import shutil
import subprocess
import uuid

from rabbitmq_versions import NotInstallable, install_package
from worker_process import Place


class NetworkLink:
    """A network namespace and a pair of virtual cards. Cutting it loses packets; nobody is told."""

    def __init__(self) -> None:
        name = uuid.uuid4().hex[:6]
        # Four addresses of one of 16,384 such nets: other runs on this machine have theirs.
        net, four = random.randrange(256), 4 * random.randrange(64)
        #: The address of this side, for a broker to listen on, and of the other.
        self.here, self._there = f"10.231.{net}.{four + 1}", f"10.231.{net}.{four + 2}"
        self.namespace, self._card, self._other_card = f"wq-{name}", f"wq{name}a", f"wq{name}b"
        self._ip("netns", "add", self.namespace)
        self._ip("link", "add", self._card, "type", "veth", "peer", "name", self._other_card, "netns", self.namespace)
        self._ip("address", "add", f"{self.here}/30", "dev", self._card)
        self._ip("link", "set", self._card, "up")
        self._ip("-netns", self.namespace, "address", "add", f"{self._there}/30", "dev", self._other_card)
        self._ip("-netns", self.namespace, "link", "set", self._other_card, "up")
        self._ip("-netns", self.namespace, "link", "set", "lo", "up")

    @property
    def place(self) -> Place:
        """For a worker behind the link. Its probes can be asked while the link is up."""
        return Place(command=("ip", "netns", "exec", self.namespace), host=self._there)

    def cut(self) -> None:
        self._ip("-netns", self.namespace, "link", "set", self._other_card, "down")

    def mend(self) -> None:
        self._ip("-netns", self.namespace, "link", "set", self._other_card, "up")

    def close(self) -> None:
        self._ip("netns", "delete", self.namespace)

    @staticmethod
    def install() -> None:
        """iproute2, if it is missing; raises NotInstallable when no link can be made here."""
        if os.geteuid() != 0:
            raise NotInstallable("a network namespace needs root")
        if shutil.which("ip", path="/sbin:/usr/sbin") is None:
            install_package("iproute2", "a network namespace")

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["/sbin/ip", *arguments], check=True, capture_output=True)
