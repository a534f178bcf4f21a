"""A real RabbitMQ on loopback with ports, data, cookie and epmd of its own; never the machine's service.

Every process is a child that the kernel kills with us, so that a killed test run leaves nothing that runs.
Used by the fixtures of tests/conftest.py and by the benchmarks.
"""

import base64
import json
import os
import signal
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from workqueue_broker.address import BrokerAddress

from dev import broker_counts
from dev.local_cluster.listeners import listens
from tests.support.held_port import HeldPort
from tests.support.rabbitmq_versions import SCRIPTS, NotInstallable, ensure, not_installable
from tests.support.waiting import wait_until

START_SECONDS = 90.0
STOP_SECONDS = 60.0
#: A call of rabbitmqctl starts an Erlang machine.
CALL_SECONDS = 120.0
#: Flags of an Erlang machine whose threads sleep while there is nothing to do.
NO_SPINNING = "+sbwt none +sbwtdcpu none +sbwtdio none"
_COOKIE = "workqueue-tests"
#: Times that a broker's first start is tried, each on other ports, while another program listens on one of its own.
START_TRIES = 5
#: Its one thread starts all of them, as the kernel ends them with the thread that did, and a test's own may end sooner.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


class RabbitMQServer:
    """One broker. Its data survive stop(), kill() and start(); close() ends everything it runs."""

    def __init__(
        self,
        directory: Path,
        version: str = "3.10",
        plugins: tuple[str, ...] = ("rabbitmq_management",),
        listen: str = "127.0.0.1",
        settings: Sequence[str] = (),
    ) -> None:
        """`settings`: more lines of rabbitmq.conf; `{tls_port}` in them is a port that it keeps for them."""
        self.directory = directory.resolve()
        self.version_number = version
        self.listen = listen
        #: Where address() and uri() lead when the caller names no virtual host.
        self.default_vhost = "/"
        self._alarmed = False
        self._installation = ensure(version)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._plugins, self._settings = plugins, settings
        self._ports: list[HeldPort] = []
        self._has_run = False
        self._choose_ports()

    def start(self) -> "RabbitMQServer":
        """Start it, or start it again. Only the first start may move it to other ports.

        Raises RuntimeError with the end of its output when it does not start.
        """
        for _ in range(1 if self._has_run else START_TRIES):
            if self._comes_up():
                self._has_run = True
                return self
            self._end_all()
            if not any(listens(port.number) for port in self._ports):
                break
            if not self._has_run:
                self._choose_ports()
        raise RuntimeError(f"RabbitMQ ended: {self.output.read_text(encoding='utf-8')[-2000:]}")

    def stop(self) -> None:
        """A clean stop, as an operator would do it."""
        self._end("broker", signal.SIGTERM)

    def kill(self) -> None:
        """A crash.

        RabbitMQ writes down late which queues there are: the list of quorum queues every five seconds (ra_directory,
        dets auto_save), Mnesia's log when it likes. A single node that is killed sooner forgets a new queue with all
        its messages. That is not what is tested here.
        """
        self.evaluate("[dets:sync(Table) || Table <- dets:all()], mnesia:sync_log()")
        self._end("broker", signal.SIGKILL)

    def freeze(self) -> None:
        """Stop every thread of the broker: it accepts connections and answers nothing, until thaw()."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(self._is_frozen, STOP_SECONDS, "every thread of the broker stands still")

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _is_frozen(self) -> bool:
        threads = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)

    def renew(self) -> None:
        """As good as a new one, for the next test: it runs, has no alarm, and its default virtual host is empty."""
        if not self.is_running:
            self.start()
        if self._alarmed:
            self.set_memory_alarm(False)
        # A broker that has just started accepts on its management port before it answers there.
        self.default_vhost = wait_until(self.new_vhost, START_SECONDS, "the management API answers")

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        self._end_all()
        for port in self._ports:
            port.close()

    @property
    def is_running(self) -> bool:
        return "broker" in self._processes and self._processes["broker"].poll() is None

    @property
    def pid(self) -> int:
        return self._processes["broker"].pid

    @property
    def release(self) -> str:
        """The whole version number, as the node itself reports it."""
        return self.evaluate("rabbit_misc:version()").strip('"')

    @property
    def output(self) -> Path:
        """What the broker printed."""
        return self.directory / "broker.out"

    def address(self, vhost: str | None = None) -> BrokerAddress:
        return BrokerAddress(
            hosts=((self.listen, self.amqp_port),),
            virtual_host=vhost or self.default_vhost,
            management_uri=self.management_uri,
        )

    def uri(self, vhost: str | None = None) -> str:
        return f"amqp://guest:guest@{self.listen}:{self.amqp_port}/{quote(vhost or self.default_vhost, safe='')}"

    @property
    def management_uri(self) -> str:
        return f"http://{self.listen}:{self.management_port}"

    def new_vhost(self) -> str:
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.management("PUT", f"/api/vhosts/{name}")
        return name

    def management(self, method: str, path: str, body: object = None) -> Any:
        """One call of the management API; the answer, parsed from JSON, None without one."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.management_uri + path, data=data, method=method)
        request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
        return json.loads(text) if text else None

    def ctl(self, *arguments: str) -> str:
        """What rabbitmqctl prints; raises CalledProcessError with its words when it fails."""
        return self._output([str(SCRIPTS / "rabbitmqctl"), "--quiet", *arguments], binds=(self.directory,))

    def evaluate(self, erlang: str) -> str:
        """The value of an Erlang expression on the node, in milliseconds where rabbitmqctl takes a second."""
        call = ["erl_call", "-address", f"localhost:{self._distribution_port}", "-c", _COOKIE, "-e"]
        answer = self._output(call, given=f"{erlang}.\n")
        if not answer.startswith("{ok, "):
            raise RuntimeError(f"{erlang}: {answer}")
        return answer.removeprefix("{ok, ").removesuffix("}")

    def counts(self, vhost: str, queue: str) -> tuple[int, int]:
        """(messages_ready, messages_unacknowledged) as they are now, not as the statistics last saw them."""
        found = broker_counts.parse(self.evaluate(broker_counts.expression(vhost, queue)))
        if found is None:
            raise LookupError(f"there is no queue {queue} in virtual host {vhost}")
        return found

    @contextmanager
    def setting(self, **values: int) -> Iterator[None]:
        """Settings of the application rabbit that hold inside the block."""
        before = {name: self.evaluate(f"element(2, application:get_env(rabbit, {name}))") for name in values}
        self._set(values)
        try:
            yield
        finally:
            self._set(before)

    def _set(self, values: Mapping[str, object]) -> None:
        for name, value in values.items():
            self.evaluate(f"application:set_env(rabbit, {name}, {value})")

    def connection_count(self, vhost: str) -> int:
        """Connections to the virtual host as they are now."""
        of_vhost = f'(catch rabbit_reader:info(Pid, [vhost])) =:= [{{vhost, <<"{vhost}">>}}]'
        return int(self.evaluate(f"length([Pid || Pid <- rabbit_networking:local_connections(), {of_vhost}])"))

    def set_memory_alarm(self, on: bool) -> None:
        """Raise or clear the alarm that blocks every publisher, and wait until it is so."""
        self._alarmed = on
        # What rabbitmqctl calls, without the second that it takes to start.
        self.evaluate(f"vm_memory_monitor:set_vm_memory_high_watermark({'0' if on else '0.8'})")
        alarms = "rabbit_alarm:get_alarms()"
        wait_until(lambda: ("memory" in self.evaluate(alarms)) is on, 30, f"memory alarm {'on' if on else 'off'}")

    def _choose_ports(self) -> None:
        """They stay held while the broker is down, until close()."""
        given_up = self._ports
        hosts = (self.listen, self.listen, self.listen, "127.0.0.1", "127.0.0.1")
        self._ports = [HeldPort(host) for host in hosts]
        numbers = [port.number for port in self._ports]
        self.amqp_port, self.management_port, self.tls_port, self._epmd_port, self._distribution_port = numbers
        for port in given_up:
            port.close()
        self._write_configuration(self._plugins, self._settings)

    def _write_configuration(self, plugins: tuple[str, ...], settings: Sequence[str]) -> None:
        for folder in ("home", "data", "logs"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        self._write("enabled_plugins", f"[{','.join(plugins)}].")
        self._write(
            "rabbitmq.conf",
            f"listeners.tcp.1 = {self.listen}:{self.amqp_port}\n"
            f"management.tcp.ip = {self.listen}\n"
            f"management.tcp.port = {self.management_port}\n"
            "loopback_users = none\n"
            "vm_memory_high_watermark.relative = 0.8\n"
            "disk_free_limit.absolute = 50MB\n"  # tests fill queues, never disks
            "collect_statistics_interval = 1000\n"
            + "".join(f"{line.format(tls_port=self.tls_port)}\n" for line in settings),
        )
        cookie = self.directory / "home/.erlang.cookie"
        if not cookie.exists():
            cookie.write_text(_COOKIE, encoding="utf-8")
            cookie.chmod(0o400)

    def _write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text, encoding="utf-8")

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.directory / "home"),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "data"),
            "RABBITMQ_LOG_BASE": str(self.directory / "logs"),
            # Several brokers share the cores: no scheduler is bound to one, or turns there waiting for work. One that
            # turns is preempted instead of asleep: rabbitmqctl took 40 s for half a second of work on busy cores.
            "RABBITMQ_SCHEDULER_BIND_TYPE": "u",
            "RABBITMQ_CTL_ERL_ARGS": f"{NO_SPINNING} +S 1:1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} "
            f"{NO_SPINNING} "
            "-rabbit quorum_tick_interval 1000",  # milliseconds between a quorum queue's statistics
            "detached": "1",  # the start script becomes the broker, so that our child's pid is the broker's
        }

    def _run(self, name: str, command: list[str]) -> None:
        wrapped = self._installation.command(*command, binds=(self.directory,))
        with (self.directory / f"{name}.out").open("ab") as output:
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

    def _end_all(self) -> None:
        for name in list(self._processes):
            self._end(name, signal.SIGKILL)

    def _comes_up(self) -> bool:
        """Run what does not run yet; whether it listens on its ports in the end. False once a process has ended."""
        self._alarmed = False
        if "epmd" not in self._processes:
            self._run("epmd", ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"])
            if not self._listens("epmd", self._epmd_port):
                return False
        self._run("broker", [str(SCRIPTS / "rabbitmq-server")])
        return self._listens("broker", self.amqp_port, self.management_port)

    def _listens(self, name: str, *ports: int) -> bool:
        """Wait until the process listens on the ports, and not another program; False when it has ended before."""
        process = self._processes[name]

        def listening() -> bool:
            return all(listens(port, process.pid) for port in ports)

        what = f"{name} of RabbitMQ {self.version_number} listens on {ports}, see {self.directory}/{name}.out"
        wait_until(lambda: process.poll() is not None or listening(), START_SECONDS, what)
        return process.poll() is None


@contextmanager
def running(directory: Path, version: str, **options: Any) -> Iterator[RabbitMQServer]:
    """One that runs inside the block; where it cannot be installed the test is skipped, or fails in CI."""
    try:
        server = RabbitMQServer(directory, version, **options)
    except NotInstallable as problem:
        not_installable(problem)
    try:
        yield server.start()
    finally:
        server.close()
