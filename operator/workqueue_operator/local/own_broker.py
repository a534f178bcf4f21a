"""A RabbitMQ of our own for one run of `local`: a container, or the installed package's. It is removed at the end."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, connect
from workqueue_broker.errors import BrokerError

from workqueue_operator.cluster.local.held_port import HeldPort
from workqueue_operator.cluster.local.orphans import Orphans

#: The image of `--broker docker`, with the management API, which the estimates of rates and ages need.
IMAGE = "rabbitmq:4-management"
#: Seconds until a broker must answer: an image may have to be pulled first.
START_SECONDS = {"docker": 300.0, "installed": 90.0}
#: Seconds from SIGTERM to SIGKILL at its end.
STOP_SECONDS = 20.0
#: Where a package has the scripts that a person without root may run; Debian's on the PATH is for root alone.
SCRIPTS = ("/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin")


class NoBroker(Exception):
    """No RabbitMQ can be started; the message says why and what to do."""


class OwnBroker:
    """One broker, on ports of its own on loopback."""

    def __init__(self, kind: str, folder: Path) -> None:
        """`kind`: docker or installed; `folder` gets its data and output. Raises NoBroker."""
        self._kind = kind
        self._folder = folder / "rabbitmq"
        self._ports = [HeldPort() for _ in range(4)]
        self._orphans = Orphans()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._output = self._folder / "output"
        self._folder.mkdir()
        amqp, management = (port.number for port in self._ports[:2])
        self.uri = f"amqp://guest:guest@127.0.0.1:{amqp}/%2F"
        self.management_uri = f"http://127.0.0.1:{management}"

    async def start(self) -> None:
        """Until it answers; raises NoBroker when it does not."""
        if self._kind == "docker":
            self._run(docker_command(self._name(), *self._numbers()[:2]), os.environ)
        else:
            self._run_installed()
        deadline = time.monotonic() + START_SECONDS[self._kind]
        while not await asyncio.to_thread(answers, self.uri):
            if any(process.poll() is not None for process in self._processes):
                raise NoBroker(f"RabbitMQ ended at its start: {self._said()}")
            if time.monotonic() > deadline:
                raise NoBroker(f"RabbitMQ did not answer within {START_SECONDS[self._kind]:.0f} s: {self._said()}")
            await asyncio.sleep(0.2)

    async def close(self) -> None:
        """End it, and forget its data."""
        for process in reversed(self._processes):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, STOP_SECONDS)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.to_thread(process.wait)
            self._orphans.remove(process.pid)
        self._orphans.close()
        for port in self._ports:
            port.close()

    def _run_installed(self) -> None:
        server = _program("rabbitmq-server")
        amqp, management, epmd, distribution = self._numbers()
        for name in ("home", "data", "logs"):
            (self._folder / name).mkdir()
        (self._folder / "enabled_plugins").write_text("[rabbitmq_management].", encoding="utf-8")
        (self._folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{amqp}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n",
            encoding="utf-8",
        )
        cookie = self._folder / "home" / ".erlang.cookie"
        cookie.touch(mode=0o600)
        cookie.write_text(secrets.token_hex(16), encoding="utf-8")
        cookie.chmod(0o400)
        environment = _environment(self._folder, epmd, distribution)
        # epmd first: one that RabbitMQ starts would stay.
        self._run([_program("epmd"), "-port", str(epmd), "-address", "127.0.0.1"], environment)
        self._run([server], environment)

    def _run(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        with self._output.open("ab") as output:
            try:
                process = subprocess.Popen(  # noqa: S603 - RabbitMQ's, or docker's
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=dict(environment),
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise NoBroker(f"there is no program {command[0]}: {_INSTALL}") from error
        self._orphans.add(process.pid)
        self._processes.append(process)

    def _numbers(self) -> list[int]:
        return [port.number for port in self._ports]

    def _name(self) -> str:
        return f"workqueue-local-{os.getpid()}-{secrets.token_hex(3)}"

    def _said(self) -> str:
        return " ".join(self._output.read_text(encoding="utf-8", errors="replace").split())[-800:] or "without output"


_INSTALL = "install it (Debian: apt install rabbitmq-server; macOS: brew install rabbitmq), or use --broker docker"


def docker_command(name: str, amqp_port: int, management_port: int) -> list[str]:
    """In the foreground: docker passes SIGTERM on to the container, and removes it when it has ended."""
    ports = (f"127.0.0.1:{amqp_port}:5672", f"127.0.0.1:{management_port}:15672")
    return ["docker", "run", "--rm", "--name", name, *(word for one in ports for word in ("--publish", one)), IMAGE]


def installed(name: str) -> str | None:
    """The path of a program of the installed package; None: there is none."""
    places = (*SCRIPTS, *os.environ.get("PATH", "").split(os.pathsep), "/usr/sbin")
    return shutil.which(name, path=os.pathsep.join(places))


def _program(name: str) -> str:
    """Its path; raises NoBroker."""
    found = installed(name)
    if found is None:
        raise NoBroker(f"--broker installed: there is no program {name}: {_INSTALL}")
    return found


def _environment(folder: Path, epmd_port: int, distribution_port: int) -> Mapping[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "HOME": str(folder / "home"),
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": "rabbit@localhost",
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "detached": "1",  # the start script becomes the broker, which then gets our SIGTERM itself
    }


def answers(uri: str) -> bool:
    """Whether a RabbitMQ is there that takes the login."""
    try:
        connect(BrokerAddress.from_uri(uri), ConnectionSettings("workqueue-operator local")).close()
    except BrokerError:
        return False
    return True
