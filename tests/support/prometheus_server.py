"""A real Prometheus on loopback with a port and data of its own, and promtool, which checks and tests rules.

Both come from dev/prometheus.py; the fixtures `prometheus_programs` and `promtool` of tests/conftest.py give them.
"""

import json
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from workqueue_operator.cluster.local.held_port import HeldPort

from dev import prometheus
from dev.local_cluster.console import ClusterError
from dev.local_cluster.listeners import listens
from dev.prometheus import Programs
from tests.support.rabbitmq_versions import NotInstallable
from tests.support.waiting import wait_until

START_SECONDS = 60.0
STOP_SECONDS = 30.0
#: Times that a start is tried, each on another port, while another program listens on its own.
START_TRIES = 5


def ensure_programs() -> Programs:
    """The two programs; raises NotInstallable, which names the remedy, when they cannot be had here."""
    try:
        return prometheus.programs()
    except ClusterError as error:
        raise NotInstallable(str(error)) from error


class Promtool:
    """The program that reads rules as Prometheus does."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run it to its end; its exit code is 0 when it finds no fault."""
        command = [str(self._program), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)


class PrometheusServer:
    """One Prometheus that runs until close()."""

    def __init__(self, programs: Programs, directory: Path, configuration: Mapping[str, Any]) -> None:
        """`configuration`: what prometheus.yml holds; paths in it are relative to `directory`."""
        self.directory = directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._program = programs.prometheus
        self._port = HeldPort()
        self._process: subprocess.Popen[bytes] | None = None
        (self.directory / "prometheus.yml").write_text(json.dumps(configuration))  # YAML is a superset of JSON

    def start(self) -> "PrometheusServer":
        """Start it and wait until it answers queries.

        Raises RuntimeError with the end of its output when it does not start.
        """
        for _ in range(START_TRIES):
            self._process = self._run()
            if self._comes_up(self._process):
                return self
            if not listens(self.port):
                break
            taken, self._port = self._port, HeldPort()
            taken.close()
        raise RuntimeError(f"Prometheus ended: {self.output.read_text(encoding='utf-8')[-2000:]}")

    @property
    def output(self) -> Path:
        """What it printed."""
        return self.directory / "prometheus.out"

    @property
    def port(self) -> int:
        """Held until close(); only start() may choose another one."""
        return self._port.number

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def api(self, path: str, **parameters: str | float) -> Any:
        """The `data` of an answer of /api/v1; raises HTTPError, for a query that does not parse too."""
        with urllib.request.urlopen(f"{self.uri}/api/v1/{path}?{urlencode(parameters)}", timeout=30) as answer:
            return json.loads(answer.read())["data"]

    def query(self, expression: str, **parameters: str | float) -> list[dict[str, Any]]:
        """The series of an instant query: `metric` has the labels, `value` the time and the number as text."""
        result: list[dict[str, Any]] = self.api("query", query=expression, **parameters)["result"]
        return result

    def close(self) -> None:
        """End it; its data stay in the directory."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            self._process = None
        self._port.close()

    def _run(self) -> "subprocess.Popen[bytes]":
        command: Sequence[str] = (
            str(self._program),
            f"--config.file={self.directory}/prometheus.yml",
            f"--storage.tsdb.path={self.directory}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        )
        with self.output.open("ab") as output:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.directory,
                start_new_session=True,
            )

    def _comes_up(self, process: "subprocess.Popen[bytes]") -> bool:
        """Wait until it is ready; False once it has ended."""

        def ready() -> bool:
            if not listens(self.port, process.pid):
                return False
            with urllib.request.urlopen(f"{self.uri}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)

        what = f"Prometheus is ready, see {self.output}"
        wait_until(lambda: process.poll() is not None or ready(), START_SECONDS, what)
        return process.poll() is None


@contextmanager
def running(programs: Programs, directory: Path, configuration: Mapping[str, Any]) -> Iterator[PrometheusServer]:
    """One that runs inside the block."""
    server = PrometheusServer(programs, directory, configuration)
    try:
        yield server.start()
    finally:
        server.close()
