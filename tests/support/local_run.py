"""`workqueue-operator local` in a process of its own, as a person runs it in a terminal: its lines, its signals."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from workqueue_operator.resource import Key

from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until

SUPPORT = Path(__file__).parent
START_SECONDS = 60.0
END_SECONDS = 60.0
NAME = Key("default", "jobs")


def manifests(
    queue: TaskQueue, container: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None, **spec: Any
) -> str:
    """A WorkQueue, its Deployment and its Secret. `container` and `spec` take the place of defaults."""
    variables = {"AMQP_SECRET_DIR": "/etc/workqueue/broker", "QUEUE_NAME": queue.name, "QUEUE_TYPE": queue.type}
    worker = {
        "name": "worker",
        "image": "workqueue-worker:0.1.0",
        "env": [{"name": name, "value": str(value)} for name, value in {**variables, **(env or {})}.items()],
        "volumeMounts": [{"name": "broker", "mountPath": "/etc/workqueue/broker"}],
        "ports": [{"name": "metrics", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "metrics"}, "periodSeconds": 1},
        **(container or {}),
    }
    scaling = {"maxReplicas": 3, "messagesPerReplica": 1, "scaleDown": {"stabilizationWindowSeconds": 0}}
    pod = {
        "terminationGracePeriodSeconds": 60,
        "containers": [worker],
        "volumes": [{"name": "broker", "secret": {"secretName": "rabbitmq"}}],
    }
    return "---\n".join(
        yaml.safe_dump(one)
        for one in (
            {
                "apiVersion": "workqueue.dev/v1alpha1",
                "kind": "WorkQueue",
                "metadata": {"name": "jobs"},
                "spec": {
                    "broker": {"secretName": "rabbitmq"},
                    "queue": {"name": queue.name, "type": str(queue.type)},
                    "scaleTargetRef": {"name": "jobs-worker"},
                    "taskTimeoutSeconds": 30,
                    "scaling": {**scaling, **spec.pop("scaling", {})},
                    **spec,
                },
            },
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "jobs-worker"},
                "spec": {
                    "selector": {"matchLabels": {"app": "jobs"}},
                    "template": {"metadata": {"labels": {"app": "jobs"}}, "spec": pod},
                },
            },
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "rabbitmq"},
                "stringData": {"uri": queue.uri, "management_uri": queue.server.management_uri},
            },
        )
    )


class LocalRun:
    """Runs inside the block; what it left behind when the block ends is killed, and fails the test."""

    def __init__(self, folder: Path, text: str, *flags: str, **variables: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        file = folder / "manifests.yaml"
        file.write_text(text)
        self._output = folder / "output"
        self._command = [sys.executable, "-m", "workqueue_operator", "local", *flags, str(file)]
        unset = {name: value for name, value in os.environ.items() if not name.startswith(("AMQP_", "METRICS_"))}
        self._environment = {**unset, "XDG_RUNTIME_DIR": str(folder), "PYTHONPATH": str(SUPPORT), **variables}
        self._cleanup = ExitStack()

    def __enter__(self) -> "LocalRun":
        output = self._cleanup.enter_context(self._output.open("w"))
        self.process = subprocess.Popen(
            self._command, cwd=self.folder, env=self._environment, stdout=output, stderr=output, start_new_session=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            wait_until(self._hurried, END_SECONDS, "it has ended")
        finally:
            self.process.kill()
        self._cleanup.close()
        if error is not None:
            print(self.text)

    def _hurried(self) -> bool:
        """Send one more signal; whether it has ended. Two at once would be one."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.poll() is not None

    @property
    def text(self) -> str:
        """All that it printed."""
        return self._output.read_text(errors="replace")

    def lines(self, pattern: str) -> Sequence[re.Match[str]]:
        return list(re.finditer(pattern, self.text, re.MULTILINE))

    def until(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Wait until it printed the pattern so many times; the last one."""
        found = wait_until(
            lambda: it if len(it := self.lines(pattern)) >= times else None, START_SECONDS, f"it prints {pattern}"
        )
        return found[-1]

    def explain(self, name: str = str(NAME)) -> str:
        """What `explain --local` prints."""
        command = [sys.executable, "-m", "workqueue_operator", "explain", "--local", name]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr

    def until_explained(self, words: str) -> str:
        return wait_until(
            lambda: it if words in (it := self.explain()) else None, START_SECONDS, f"it explains {words}"
        )

    def metrics(self) -> str:
        address = self.until(r"metrics: (\S+/metrics)")[1]
        with urllib.request.urlopen(address, timeout=30) as response:
            return str(response.read().decode())

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def exit_code(self) -> int:
        return self.process.wait(END_SECONDS)
