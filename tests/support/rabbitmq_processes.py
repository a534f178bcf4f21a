"""The node of a test's RabbitMQ as processes of Debian's package, with an epmd, a cookie and data of its own.

Every process is a child that the kernel kills with us, so that a killed test run leaves nothing that runs.
"""

import os
import signal
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path

from dev.local_cluster.listeners import listens
from tests.support.rabbitmq_node import CALL_SECONDS, STOP_SECONDS, VARIABLES, Ports
from tests.support.rabbitmq_versions import SCRIPTS, ensure
from tests.support.waiting import wait_until

START_SECONDS = 90.0
_COOKIE = "workqueue-tests"
#: Its one thread starts all of them, as the kernel ends them with the thread that did, and a test's own may end sooner.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


class Processes:
    """epmd and the broker."""

    def __init__(self, directory: Path, version: str, listen: str) -> None:
        self.listen = listen
        self._directory, self._version = directory, version
        self._installation = ensure(version)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ports: Ports

    @property
    def is_running(self) -> bool:
        return "broker" in self._processes and self._processes["broker"].poll() is None

    @property
    def place(self) -> str:
        return str(self._directory)

    def configure(self, ports: Ports, files: Mapping[str, str]) -> None:
        self._ports = ports
        for folder in ("home", "data", "logs"):
            (self._directory / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (self._directory / name).write_text(text, encoding="utf-8")
        cookie = self._directory / "home/.erlang.cookie"
        if not cookie.exists():
            cookie.write_text(_COOKIE, encoding="utf-8")
            cookie.chmod(0o400)

    def comes_up(self) -> bool:
        if "epmd" not in self._processes:
            self._run("epmd", ["epmd", "-port", str(self._ports.epmd), "-address", "127.0.0.1"])
            if not self._listens("epmd", self._ports.epmd):
                return False
        self._run("broker", [str(SCRIPTS / "rabbitmq-server")])
        return self._listens("broker", self._ports.amqp, self._ports.management)

    def has_lost_a_port(self) -> bool:
        return any(listens(port) for port in astuple(self._ports))

    def stop(self) -> None:
        self._end("broker", signal.SIGTERM)

    def kill(self) -> None:
        self._end("broker", signal.SIGKILL)

    def freeze(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)
        wait_until(self._is_frozen, STOP_SECONDS, "every thread of the broker stands still")

    def thaw(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def end(self) -> None:
        for name in list(self._processes):
            self._end(name, signal.SIGKILL)

    def ctl(self, *arguments: str) -> str:
        return self._output([str(SCRIPTS / "rabbitmqctl"), "--quiet", *arguments], binds=(self._directory,))

    def evaluate(self, erlang: str) -> str:
        call = ["erl_call", "-address", f"localhost:{self._ports.distribution}", "-c", _COOKIE, "-e"]
        return self._output(call, given=f"{erlang}.\n")

    def output(self) -> str:
        outputs = sorted(self._directory.glob("*.out"), reverse=True)
        return "".join(output.read_text(encoding="utf-8", errors="replace") for output in outputs)

    def log(self) -> str:
        logs = (self._directory / "logs").glob("*.log")
        return "".join(log.read_text(encoding="utf-8", errors="replace") for log in logs)

    @property
    def _pid(self) -> int:
        return self._processes["broker"].pid

    def _is_frozen(self) -> bool:
        threads = Path(f"/proc/{self._pid}/task").glob("*/stat")
        return all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(self._directory / "home"),
            "ERL_EPMD_PORT": str(self._ports.epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._ports.distribution),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self._directory / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._directory / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self._directory / "data"),
            "RABBITMQ_LOG_BASE": str(self._directory / "logs"),
            "detached": "1",  # the start script becomes the broker, so that our child's pid is the broker's
            **VARIABLES,
        }

    def _run(self, name: str, command: list[str]) -> None:
        wrapped = self._installation.command(*command, binds=(self._directory,))
        with (self._directory / f"{name}.out").open("ab") as output:
            self._processes[name] = _spawner.submit(
                subprocess.Popen,
                ["setpriv", "--pdeathsig", "KILL", *wrapped],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment(),
                start_new_session=True,  # Ctrl+C in the terminal is for pytest, which then ends us in order
            ).result()

    def _output(self, command: list[str], given: str = "", binds: tuple[Path, ...] = ()) -> str:
        wrapped = self._installation.command(*command, binds=binds)
        done = subprocess.run(
            wrapped,
            input=given,
            capture_output=True,
            text=True,
            env=self._environment(),
            timeout=CALL_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def _end(self, name: str, how: signal.Signals) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(how)
        process.wait(STOP_SECONDS)

    def _listens(self, name: str, *ports: int) -> bool:
        """Wait until the process listens on the ports, and not another program; False when it has ended before."""
        process = self._processes[name]

        def listening() -> bool:
            return all(listens(port, process.pid) for port in ports)

        what = f"{name} of RabbitMQ {self._version} listens on {ports}, see {self._directory}/{name}.out"
        wait_until(lambda: process.poll() is not None or listening(), START_SECONDS, what)
        return process.poll() is None
