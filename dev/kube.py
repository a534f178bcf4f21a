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

CHECKOUT = Path(__file__).resolve().parents[1]
#: Pod security that our own objects must satisfy.
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
#: The label of what the demo or the tests made and may remove again.
MADE_BY = "workqueue.dev/made-by"


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

    def install(self, release: str, chart: str, namespace: str, *settings: str) -> None:
        """helm upgrade --install of a chart of this checkout, also after one that was interrupted in the middle.

        helm refuses a release that is pending after an interruption. It is removed first: ours hold nothing to repair.
        """
        pending = self.helm("list", "-n", namespace, "--pending", "--short").split()
        if release in pending:
            sys.stderr.write(f"Removing the release {release}, whose installation was interrupted …\n")
            self.helm("uninstall", release, "-n", namespace, "--wait", "--timeout", "120s")
        self.helm("upgrade", "--install", release, str(CHECKOUT / "charts" / chart), "-n", namespace, *settings)

    def make_namespace(self, name: str, made_by: str) -> None:
        """Make the namespace, or take one that the same maker left; raises CommandFailed when another made it."""
        label = {MADE_BY: made_by}
        if self.exists("namespace", name):
            if self.maker(name) != made_by:
                raise CommandFailed(
                    f"namespace {name} was not made by the {made_by}: remove it, or use another cluster"
                )
            if self.get("namespace", name)["status"]["phase"] == "Terminating":
                self.kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=180s")
        metadata = {"name": name, "labels": {**label, **RESTRICTED}}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def maker(self, namespace: str) -> str:
        """Who made a namespace, by our label; empty: not we."""
        return str(self.get("namespace", namespace)["metadata"].get("labels", {}).get(MADE_BY, ""))

    def remove_namespace(self, name: str, made_by: str) -> bool:
        """True when the namespace existed; raises CommandFailed when another made it."""
        if not self.exists("namespace", name):
            return False
        if self.maker(name) != made_by:
            raise CommandFailed(f"namespace {name} was not made by the {made_by}; it is left alone")
        self.kubectl("delete", "namespace", name, "--wait", "--timeout=180s")
        return True

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

    def data(self, path: str) -> dict[str, Any] | None:
        """An object; None when it could not be read, which says nothing about whether it is there."""
        text = self.text(path)
        return None if text is None else dict(json.loads(text))

    def items(self, path: str) -> list[dict[str, Any]] | None:
        """The items of a list; None when it could not be read, which is not the same as none."""
        data = self.data(path)
        return None if data is None else list(data["items"])

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


def image_name(part: str) -> str:
    """A part's image as a pod names it."""
    image = images()[part]
    return f"{image['repository']}:{image['tag']}"


def image_settings(part: str) -> list[str]:
    """helm's arguments for a part's image."""
    image = images()[part]
    return [
        *("--set-string", f"image.repository={image['repository']}", "--set-string", f"image.tag={image['tag']}"),
    ]


def install_broker(namespace: str) -> None:
    """A RabbitMQ in the namespace, and its Secret `rabbitmq`."""
    _broker("install", namespace, "--image", image_name("rabbitmq"))


def copy_broker_secret(namespace: str, source: str) -> None:
    """The Secret of the RabbitMQ in another namespace."""
    _broker("secret", namespace, source)


def _broker(*arguments: str) -> None:
    _run([sys.executable, "-m", "dev.rabbitmq", *arguments], None)


def _run(command: Sequence[str], given: str | None) -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
