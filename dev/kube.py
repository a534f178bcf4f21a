"""A cluster as the demo and the cluster tests use it: kubectl, helm, and one proxy for quick reading.

Every call names its context; nothing ever goes to kubectl's current one.
"""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

#: Pod security that our own objects must satisfy.
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


class CommandFailed(Exception):
    """kubectl or helm refused; the message is theirs."""


class Kube:
    """kubectl and helm for one context."""

    def __init__(self, context: str) -> None:
        self.context = context

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl; answers its standard output."""
        return _run(["kubectl", "--context", self.context, *arguments], given)

    def helm(self, *arguments: str) -> str:
        """Run helm; answers its standard output."""
        return _run(["helm", "--kube-context", self.context, *arguments], None)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create or change objects."""
        self.kubectl(
            "apply", "--filename", "-", given=json.dumps({"kind": "List", "apiVersion": "v1", "items": objects})
        )

    def get(self, *arguments: str) -> Any:
        """The objects as data."""
        return json.loads(self.kubectl("get", *arguments, "--output", "json"))

    def exists(self, *arguments: str) -> bool:
        """Whether there is such an object."""
        return bool(self.kubectl("get", *arguments, "--ignore-not-found", "--output", "name").strip())

    @contextmanager
    def proxy(self) -> "Iterator[Proxy]":
        """The API server on a port of loopback, for as long as the block lasts."""
        command = ["kubectl", "--context", self.context, "proxy", "--port=0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            try:
                line = process.stdout.readline() if process.stdout else ""
                found = re.search(r"127\.0\.0\.1:\d+", line)
                if not found:
                    raise CommandFailed(f"kubectl proxy did not start: {line!r}")
                yield Proxy(f"http://{found[0]}")
            finally:
                process.terminate()


class Proxy:
    """Reads over a kubectl proxy."""

    def __init__(self, address: str) -> None:
        self.address = address

    def text(self, path: str) -> str | None:
        """What the API server answers; None when it refuses or the pod behind it is gone."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=5) as answer:
                text: str = answer.read().decode()
                return text
        except (urllib.error.URLError, TimeoutError, ConnectionError, HTTPException):
            return None

    def items(self, path: str) -> list[dict[str, Any]]:
        """The items of a list."""
        text = self.text(path)
        return json.loads(text)["items"] if text else []

    def metrics(self, namespace: str, pod: str, port: int) -> dict[str, float] | None:
        """The samples of a pod's metrics page, by name and labels as they stand there."""
        page = self.text(f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics")
        return None if page is None else samples(page)


def samples(page: str) -> dict[str, float]:
    """The samples of a metrics page, by name and labels as they stand there."""
    lines = (line.rpartition(" ") for line in page.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def total(page: Mapping[str, float] | None, name: str) -> float:
    """The sum of a metric over its labels."""
    return sum(value for key, value in (page or {}).items() if key.split("{")[0] == name)


def images() -> dict[str, dict[str, str]]:
    """Repository and tag of each image, as dev/with_cluster.py gave them."""
    made: dict[str, dict[str, str]] = json.loads(os.environ["WORKQUEUE_IMAGES"])
    return made


def image_settings(part: str) -> list[str]:
    """helm's arguments for a part's image."""
    image = images()[part]
    return [
        *("--set-string", f"image.repository={image['repository']}", "--set-string", f"image.tag={image['tag']}"),
    ]


def install_broker(namespace: str) -> None:
    """A RabbitMQ in the namespace, and its Secret `rabbitmq`."""
    image = images()["rabbitmq"]
    _broker("install", namespace, "--image", f"{image['repository']}:{image['tag']}")


def copy_broker_secret(namespace: str, source: str) -> None:
    """The Secret of the RabbitMQ in another namespace."""
    _broker("secret", namespace, source)


def _broker(*arguments: str) -> None:
    _run([sys.executable, str(Path(__file__).parent / "rabbitmq"), *arguments], None)


def _run(command: Sequence[str], given: str | None) -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
