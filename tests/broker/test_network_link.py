"""The link that is cut by other tests: several at once, and after a run that was killed."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.support.network_link import NETWORKS, NetworkLink

MAKE_AND_DIE = """
import os, signal, sys
from tests.support.network_link import NetworkLink
print(NetworkLink().number, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_two_links_that_want_the_same_network_get_two(link: NetworkLink) -> None:
    other = (link.number + 1) % len(NETWORKS)
    with closing(NetworkLink([link.number, other, (other + 1) % len(NETWORKS)])) as second:
        assert second.number != link.number
        assert second.here != link.here


def test_what_a_killed_run_left_is_removed_by_the_next_with_its_number(link: NetworkLink) -> None:
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", MAKE_AND_DIE], cwd=root, capture_output=True, text=True, check=False)
    number = int(killed.stdout)
    assert f"workqueue-link-{number}" in namespaces()
    with closing(NetworkLink([number])) as again:
        assert again.number == number
    assert f"workqueue-link-{number}" not in namespaces()


def namespaces() -> str:
    return subprocess.run(["/sbin/ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
