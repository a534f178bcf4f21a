"""What `--rabbitmq` may name: a version of Debian's package, an image of docker, or a RabbitMQ that runs.

`4.0` is Debian's package, `docker:4.0` the official image of that version with the management API, and
`docker:registry.example/rabbitmq:4-management` any image that does as the official one.
`amqp://guest:guest@127.0.0.1:5672/` runs already (rabbitmq_given.py).
"""

import re
import shutil
import subprocess
from pathlib import Path

from tests.support import rabbitmq_versions
from tests.support.given_node import GivenNode
from tests.support.rabbitmq_container import Container
from tests.support.rabbitmq_node import Node
from tests.support.rabbitmq_processes import Processes
from tests.support.rabbitmq_versions import NotInstallable

DOCKER = "docker:"
#: What a machine can use on which Debian's package cannot be installed.
ELSEWHERE = "With docker: --rabbitmq docker:4.0; for one that runs: --rabbitmq amqp://guest:guest@127.0.0.1:5672/"


def choices(text: str) -> list[str]:
    """Those that commas or spaces divide."""
    return text.replace(",", " ").split()


def is_given(choice: str) -> bool:
    """Whether it runs already."""
    return "://" in choice


def name_of(choice: str) -> str:
    """For the tests' names; an address has a password."""
    return "given" if is_given(choice) else choice


def image(choice: str) -> str | None:
    """The image of a container; None: it is no container."""
    if not choice.startswith(DOCKER):
        return None
    name = choice.removeprefix(DOCKER)
    return name if ":" in name or "/" in name else f"rabbitmq:{name}-management"


def numbers(choice: str) -> list[int]:
    """The version's, to find the newest; none where the choice does not say it."""
    if is_given(choice):
        return []
    tag = (image(choice) or choice).rpartition(":")[2]
    found = re.fullmatch(r"(\d+(?:\.\d+)*)(?:-[\w.-]+)?", tag)
    return [int(part) for part in found[1].split(".")] if found else []


def ensure(choice: str) -> None:
    """Install or pull what is missing; raises NotInstallable, which names the remedy."""
    if is_given(choice):
        return
    if name := image(choice):
        _ensure_image(name)
        return
    try:
        rabbitmq_versions.ensure(choice)
    except NotInstallable as problem:
        raise NotInstallable(f"{problem}. {ELSEWHERE}") from problem


def node_of(choice: str, directory: Path, listen: str) -> Node:
    """Where it runs; raises NotInstallable."""
    if is_given(choice):
        return GivenNode()
    ensure(choice)
    name = image(choice)
    return Container(directory, name, listen) if name else Processes(directory, choice, listen)


def _ensure_image(name: str) -> None:
    if shutil.which("docker") is None:
        raise NotInstallable(f"{DOCKER}{name}: there is no program docker on the PATH")
    if _docker("image", "inspect", name).returncode == 0:
        return
    pulled = _docker("pull", "--quiet", name)
    if pulled.returncode != 0:
        raise NotInstallable(f"{DOCKER}{name}: {' '.join(pulled.stderr.split())}")


def _docker(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
