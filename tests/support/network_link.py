"""A network of its own for one process, behind a link that can be cut. Needs root and iproute2; Linux only."""

import json
import os
import random
import shutil
import socket
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network

from tests.support.rabbitmq_versions import NotInstallable, install_package
from tests.support.worker_process import Place

#: Each link is one of so many networks of four addresses.
NETWORKS = list(IPv4Network("10.231.0.0/16").subnets(new_prefix=30))


class NetworkLink:
    """A network namespace and a pair of virtual cards. Cutting it loses packets; no program is notified.

    Its number names its network, its namespace and its cards. A socket that the kernel closes with this process claims
    the number, so that what carries the number of an unclaimed link was left by a killed run, and is removed.
    """

    def __init__(self, numbers: Iterable[int] | None = None) -> None:
        """`numbers`: where to look for a free one, in this order."""
        chosen = random.sample(range(len(NETWORKS)), len(NETWORKS)) if numbers is None else numbers
        self._claim, self.number = next(found for found in map(_claimed, chosen) if found)
        here, there = NETWORKS[self.number].hosts()
        #: The address of this side, for a broker to listen on, and of the other.
        self.here, self._there = str(here), str(there)
        self.namespace, self._card, self._other_card = _names(self.number)
        _ip("netns", "add", self.namespace)
        _ip("link", "add", self._card, "type", "veth", "peer", "name", self._other_card, "netns", self.namespace)
        _ip("address", "add", f"{self.here}/30", "dev", self._card)
        _ip("link", "set", self._card, "up")
        _ip("-netns", self.namespace, "address", "add", f"{self._there}/30", "dev", self._other_card)
        _ip("-netns", self.namespace, "link", "set", self._other_card, "up")
        _ip("-netns", self.namespace, "link", "set", "lo", "up")

    @property
    def place(self) -> Place:
        """For a worker behind the link. Its probes can be asked while the link is up."""
        return Place(command=("ip", "netns", "exec", self.namespace), host=self._there)

    def cut(self) -> None:
        _ip("-netns", self.namespace, "link", "set", self._other_card, "down")

    def restore(self) -> None:
        _ip("-netns", self.namespace, "link", "set", self._other_card, "up")

    def close(self) -> None:
        _remove(self.number)
        self._claim.close()

    @staticmethod
    def install() -> None:
        """iproute2, if it is missing; raises NotInstallable when no link can be made here."""
        if os.geteuid() != 0:
            raise NotInstallable("a network namespace needs root")
        if shutil.which("ip", path="/sbin:/usr/sbin") is None:
            install_package("iproute2", "a network namespace")


def _claimed(number: int) -> tuple[socket.socket, int] | None:
    """The claim of a number whose network this machine does not use; None when it is another link's or is used."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0workqueue-network-link-{number}")
    except OSError:
        claim.close()
        return None
    _remove(number)
    if any(address in NETWORKS[number] for address in _addresses()):
        claim.close()
        return None
    return claim, number


def _names(number: int) -> tuple[str, str, str]:
    return f"workqueue-link-{number}", f"wq{number}a", f"wq{number}b"


def _remove(number: int) -> None:
    """What there is of a link; the cards first, as they go late with their namespace."""
    namespace, card, _ = _names(number)
    for arguments in (("link", "delete", card), ("netns", "delete", namespace)):
        with suppress(subprocess.CalledProcessError):
            _ip(*arguments)


def _addresses() -> list[IPv4Address]:
    """This machine's."""
    cards = json.loads(_ip("-json", "-4", "address", "show"))
    return [IPv4Address(one["local"]) for card in cards for one in card.get("addr_info", ())]


def _ip(*arguments: str) -> str:
    return subprocess.run(["/sbin/ip", *arguments], check=True, capture_output=True, text=True).stdout
