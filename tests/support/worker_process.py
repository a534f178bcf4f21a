"""A real worker in a process of its own, as in a container: started, asked over HTTP, asked to stop, killed."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until

SUPPORT = Path(__file__).parent
START_SECONDS = 30.0


@dataclass(frozen=True)
class Place:
    """Where a worker runs: on this machine, or in a network of its own."""

    #: What to put before its command.
    command: tuple[str, ...] = ()
    #: Where its probes answer.
    host: str = "127.0.0.1"


class WorkerProcess:
    """One worker; what it printed is in `output`, what it logged in `log`."""

    def __init__(
        self,
        directory: Path,
        uri: str,
        *flags: str,
        queue: str = "task_queue",
        place: Place | None = None,
        **variables: str,
    ) -> None:
        self._place = place or Place()
        directory.mkdir(parents=True, exist_ok=True)
        self.output_file = directory / "worker.out"
        self.log_file = directory / "worker.log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AMQP_", "WORKER_"))}
        environment |= {"AMQP_URL": uri, "PYTHONPATH": str(SUPPORT), "LOG_FORMAT": "json"} | variables
        command = [
            *self._place.command,
            sys.executable,
            "-m",
            "workqueue_worker",
            "run",
            "--queue",
            queue,
            "--metrics-port",
            "0",
            *flags,
        ]
        with self.output_file.open("wb") as output, self.log_file.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=output, stderr=log, env=environment, cwd=directory)
        self._port: int | None = None

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def output(self) -> str:
        return self.output_file.read_text(encoding="utf-8")

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log's records; a line that is no JSON, as a crash writes them, under "text"."""
        return [_record(line) for line in self.log_file.read_text(encoding="utf-8").splitlines()]

    @property
    def outcomes(self) -> list[dict[str, Any]]:
        """The log's lines about tasks."""
        return [record for record in self.log if record.get("message") == "task"]

    @property
    def port(self) -> int:
        if self._port is None:
            self._port = wait_until(self._logged_port, START_SECONDS, f"the worker logs its port in {self.log_file}")
        return self._port

    def ready(self) -> "WorkerProcess":
        wait_until(lambda: self.get("/readyz")[0] == 200, START_SECONDS, f"ready; see {self.log_file}")
        return self

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{self._place.host}:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.read().decode()

    def metrics(self) -> dict[str, float]:
        """Series by name and labels but the queue: tasks_acked_total, tasks_failed_total{reason="timeout"}."""
        series = re.findall(r"^workqueue_(\w+)\{(.*)\} (\S+)$", self.get("/metrics")[1], re.MULTILINE)
        return {name + _labels(labels): float(value) for name, labels, value in series}

    def metric(self, name: str) -> float:
        return self.metrics()[name]

    def wait_for_metric(self, name: str, at_least: float, seconds: float = 30.0) -> None:
        wait_until(lambda: self.metric(name) >= at_least, seconds, f"{name} >= {at_least}; see {self.log_file}")

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def exit_code(self, seconds: float = 30.0) -> int:
        return self.process.wait(seconds)

    def _logged_port(self) -> int | None:
        if self.process.poll() is not None:
            raise RuntimeError(f"the worker ended: {self.log_file.read_text(encoding='utf-8')[-2000:]}")
        ports = [record["port"] for record in self.log if "port" in record]
        return int(str(ports[0])) if ports else None


def is_alive(process: int) -> bool:
    """False also for a process that has ended and that its parent has not waited for."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _record(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError:
        return {"text": line}


def _labels(text: str) -> str:
    kept = [label for label in text.split(",") if not label.startswith("queue=")]
    return f"{{{','.join(kept)}}}" if kept else ""


class StartWorker(Protocol):
    """Starts a worker of a queue that ends with the test; `handler` is a name in worker_handlers."""

    def __call__(
        self, queue: TaskQueue, handler: str | None = None, *flags: str, place: Place | None = None, **variables: str
    ) -> WorkerProcess: ...
