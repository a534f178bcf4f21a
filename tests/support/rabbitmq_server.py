"""A real RabbitMQ on loopback with ports, data, cookie and epmd of its own; never the machine's service.

It runs as processes of Debian's package or in a container (rabbitmq_choice.py), and ends with us.
Used by the fixtures of tests/conftest.py and by the benchmarks.
"""

import base64
import json
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from workqueue_broker.address import BrokerAddress
from workqueue_operator.cluster.local.held_port import HeldPort

from dev import broker_counts
from tests.support.rabbitmq_choice import node_of
from tests.support.rabbitmq_node import Ports
from tests.support.rabbitmq_versions import NotInstallable, not_installable
from tests.support.waiting import wait_until

START_SECONDS = 90.0
#: Times that a broker's first start is tried, each on other ports, while another program listens on one of its own.
START_TRIES = 5


class RabbitMQServer:
    """One broker. Its data survive stop(), kill() and start(); close() ends everything it runs."""

    user = password = "guest"
    #: What late_counts() may take.
    late_seconds = 0.0

    def __init__(
        self,
        directory: Path,
        version: str = "3.10",
        plugins: tuple[str, ...] = ("rabbitmq_management",),
        listen: str = "127.0.0.1",
        settings: Sequence[str] = (),
    ) -> None:
        """`version`: as for --rabbitmq. `settings`: more lines of rabbitmq.conf, with `{listen}` and `{tls_port}`."""
        self.directory = directory.resolve()
        self.listen = listen
        #: Where address() and uri() lead when the caller names no virtual host.
        self.default_vhost = "/"
        self._alarmed = False
        self._node = node_of(version, self.directory, listen)
        self._plugins, self._settings = plugins, settings
        self._ports: list[HeldPort] = []
        self._has_run = False
        self._choose_ports()

    def start(self) -> "RabbitMQServer":
        """Start it, or start it again. Only the first start may move it to other ports.

        Raises RuntimeError with the end of its output when it does not start.
        """
        for _ in range(1 if self._has_run else START_TRIES):
            self._alarmed = False
            if self._node.comes_up():
                self._has_run = True
                return self
            said = self._node.output()[-2000:]
            taken = self._node.has_lost_a_port()
            if not self._has_run:
                self._node.end()
            if not taken:
                break
            if not self._has_run:
                self._choose_ports()
        raise RuntimeError(f"RabbitMQ ended: {said}")

    def stop(self) -> None:
        """A clean stop, as an operator would do it."""
        self._node.stop()

    def kill(self) -> None:
        """A crash.

        RabbitMQ writes down late which queues there are: the list of quorum queues every five seconds (ra_directory,
        dets auto_save), Mnesia's log when it likes. A single node that is killed sooner forgets a new queue with all
        its messages. That is not what is tested here.
        """
        self.evaluate("[dets:sync(Table) || Table <- dets:all()], mnesia:sync_log()")
        self._node.kill()

    def freeze(self) -> None:
        """Stop every thread of the broker: it accepts connections and answers nothing, until thaw()."""
        self._node.freeze()

    def thaw(self) -> None:
        self._node.thaw()

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
        self._node.end()
        for port in self._ports:
            port.close()

    @property
    def is_running(self) -> bool:
        return self._node.is_running

    @property
    def version_number(self) -> str:
        """The first two numbers of it."""
        return ".".join(self.release.split(".")[:2])

    @property
    def release(self) -> str:
        """The whole version number, as the node itself reports it."""
        return self.evaluate("rabbit_misc:version()").strip('"')

    @property
    def place(self) -> str:
        """The name of its container, or the folder of its data."""
        return self._node.place

    def log(self) -> str:
        """What the broker logged."""
        return self._node.log()

    def address(self, vhost: str | None = None) -> BrokerAddress:
        return BrokerAddress(
            hosts=((self.listen, self.amqp_port),),
            username=self.user,
            password=self.password,
            virtual_host=vhost or self.default_vhost,
            management_uri=self.management_uri,
        )

    def uri(self, vhost: str | None = None, login: tuple[str, str] | None = None) -> str:
        """With its own login where none is given."""
        user, password = (quote(word, safe="") for word in login or (self.user, self.password))
        place = f"{self.listen}:{self.amqp_port}/{quote(vhost or self.default_vhost, safe='')}"
        return f"amqp://{user}:{password}@{place}"

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
        request.add_header(
            "Authorization", "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        )
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
        return json.loads(text) if text else None

    def ctl(self, *arguments: str) -> str:
        """What rabbitmqctl prints; raises RuntimeError with its words when it fails."""
        return self._node.ctl(*arguments)

    def evaluate(self, erlang: str) -> str:
        """The value of an Erlang expression on the node, in milliseconds where rabbitmqctl takes a second."""
        answer = self._node.evaluate(erlang)
        if not answer.startswith("{ok, "):
            raise RuntimeError(f"{erlang}: {answer}")
        return answer.removeprefix("{ok, ").removesuffix("}")

    def counts(self, vhost: str, queue: str) -> tuple[int, int]:
        """(messages_ready, messages_unacknowledged) as they are now, not as the statistics last saw them."""
        found = broker_counts.parse(self.evaluate(broker_counts.expression(vhost, queue)))
        if found is None:
            raise LookupError(f"there is no queue {queue} in virtual host {vhost}")
        return found

    def late_counts(self, vhost: str, queue: str) -> tuple[int, int]:
        """The same for a test that only waits for them."""
        return self.counts(vhost, queue)

    def collects_statistics_each_second(self) -> None:
        """For a test that waits for statistics of its management API."""

    def is_consumed(self, vhost: str, queue: str) -> bool:
        """Whether a client takes from it. A quorum queue itself counts a consumer until its last message is settled."""
        name = f'rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)'
        consumers = "[element(1, element(1, C)) || C <- ets:tab2list(consumer_created)]"
        return self.evaluate(f"lists:member({name}, {consumers})") == "true"

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
        self.ports = Ports(*(port.number for port in self._ports))
        for port in given_up:
            port.close()
        self._node.configure(self.ports, self._configuration())

    @property
    def amqp_port(self) -> int:
        return self.ports.amqp

    @property
    def management_port(self) -> int:
        return self.ports.management

    @property
    def tls_port(self) -> int:
        return self.ports.tls

    def _configuration(self) -> Mapping[str, str]:
        listen = self._node.listen
        settings = (line.format(tls_port=self.tls_port, listen=listen) for line in self._settings)
        return {
            "enabled_plugins": f"[{','.join(self._plugins)}].",
            "rabbitmq.conf": f"listeners.tcp.1 = {listen}:{self.amqp_port}\n"
            f"management.tcp.ip = {listen}\n"
            f"management.tcp.port = {self.management_port}\n"
            "loopback_users = none\n"
            "vm_memory_high_watermark.relative = 0.8\n"
            "disk_free_limit.absolute = 50MB\n"  # tests fill queues, never disks
            "collect_statistics_interval = 1000\n" + "".join(f"{line}\n" for line in settings),
        }


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
