"""A work queue seen from outside: confirmed sends, counts, and the messages that are dead-lettered. With plain pika."""

import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pika
from pika.adapters.blocking_connection import BlockingChannel
from workqueue_broker.declaration import QueueDeclaration, QueueType

from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.waiting import wait_until


class _WithTable(pika.BasicProperties):  # type: ignore[misc]  # pika has no types
    """Message id, delivery mode, and a header table as it is."""

    table: bytes

    def encode(self) -> list[bytes]:
        flags = self.FLAG_HEADERS | self.FLAG_DELIVERY_MODE | self.FLAG_MESSAGE_ID
        name = self.message_id.encode()
        table = struct.pack(">I", len(self.table)) + self.table
        return [struct.pack(">H", flags), table, b"\x02", bytes([len(name)]), name]


@dataclass(frozen=True)
class TaskQueue:
    """One queue of one virtual host."""

    server: RabbitMQServer
    vhost: str
    type: QueueType
    name: str = "task_queue"

    @property
    def uri(self) -> str:
        return self.server.uri(self.vhost)

    @property
    def dead(self) -> "TaskQueue":
        return TaskQueue(self.server, self.vhost, self.type, f"{self.name}.dead")

    def set_permissions(self, configure: str = ".*", write: str = ".*", read: str = ".*") -> str:
        """Make a user of this virtual host alone, or change what it may do; returns the address with its login."""
        name = f"{self.vhost}-user"
        self.server.management("PUT", f"/api/users/{name}", {"password": name, "tags": ""})
        permissions = {"configure": configure, "write": write, "read": read}
        self.server.management("PUT", f"/api/permissions/{quote(self.vhost, safe='')}/{name}", permissions)
        return self.server.uri(self.vhost, (name, name))

    @contextmanager
    def channel(self) -> Iterator[BlockingChannel]:
        connection = pika.BlockingConnection(pika.URLParameters(self.uri))
        try:
            yield connection.channel()
        finally:
            if connection.is_open:
                connection.close()

    def declare(self) -> "TaskQueue":
        with self.channel() as channel:
            QueueDeclaration(self.name, self.type).declare(channel)
        return self

    def delete(self) -> None:
        with self.channel() as channel:
            channel.queue_delete(self.name)

    def stop_leader(self) -> None:
        """A quorum queue without a leader to answer for it: it looks empty."""
        self._evaluate("ok = ra:stop_server(quorum_queues, amqqueue:get_pid(Q))")

    def start_leader(self) -> None:
        self._evaluate("ok = ra:restart_server(quorum_queues, amqqueue:get_pid(Q))")

    def _evaluate(self, erlang: str) -> None:
        name = f'rabbit_misc:r(<<"{self.vhost}">>, queue, <<"{self.name}">>)'
        self.server.evaluate(f"{{ok, Q}} = rabbit_amqqueue:lookup({name}), {erlang}")

    def send(self, *bodies: str | bytes, ids: Sequence[str] = (), **properties: object) -> list[str]:
        """Send persistent messages of now, confirmed; returns their ids: given, or the bodies' numbers."""
        with self.sent(*bodies, ids=ids, **properties) as names:
            return names

    @contextmanager
    def sent(self, *bodies: str | bytes, ids: Sequence[str] = (), **properties: object) -> Iterator[list[str]]:
        """The same; the channel stays open in the block, as a busy broker may not count what a short one published."""
        properties = {"timestamp": int(time.time())} | properties
        names = list(ids) or [f"m{number}" for number in range(len(bodies))]
        with self.channel() as channel:
            channel.confirm_delivery()
            for name, body in zip(names, bodies, strict=True):
                made = pika.BasicProperties(message_id=name, delivery_mode=2, **properties)
                channel.basic_publish("", self.name, body, made, mandatory=True)
            yield names

    def send_table(self, table: bytes, body: bytes = b"", name: str = "m0") -> None:
        """Send a message with headers that are bytes already, as a producer of another language may write them."""
        properties = _WithTable(message_id=name, delivery_mode=2)
        properties.table = table
        with self.channel() as channel:
            channel.confirm_delivery()
            channel.basic_publish("", self.name, body, properties, mandatory=True)

    def close_connections(self) -> None:
        """All of the virtual host's, as an administrator would."""

        def close_those_that_are_listed() -> bool:
            connections = self.server.management("GET", f"/api/vhosts/{quote(self.vhost, safe='')}/connections")
            for connection in connections:
                self.server.management("DELETE", f"/api/connections/{quote(connection['name'], safe='')}")
            return bool(connections)

        wait_until(close_those_that_are_listed, 30, "the broker lists the worker's connection")

    def set_policy(self, name: str, definition: dict[str, object]) -> None:
        policy = {"pattern": f"^{self.name}$", "definition": definition, "apply-to": "queues"}
        self.server.management("PUT", f"/api/policies/{self.vhost}/{name}", policy)

    def refuses(self) -> bool:
        """True when the queue takes no message; one that it takes stays in it."""
        with self.channel() as channel:
            channel.confirm_delivery()
            try:
                channel.basic_publish("", self.name, b"ok", pika.BasicProperties(delivery_mode=2), mandatory=True)
            except pika.exceptions.NackError:
                return True
        return False

    def counts(self) -> tuple[int, int]:
        return self.server.counts(self.vhost, self.name)

    def wait_for_counts(self, ready: int, unacknowledged: int, seconds: float = 30.0) -> None:
        wanted = (ready, unacknowledged)
        what = f"{self.name} has (ready, unacknowledged) {wanted}"
        counted = self.server.late_counts
        wait_until(lambda: counted(self.vhost, self.name) == wanted, seconds + self.server.late_seconds, what)

    def is_consumed(self) -> bool:
        """Whether a client takes from it."""
        return self.server.is_consumed(self.vhost, self.name)

    def take_all(self) -> list[tuple[pika.BasicProperties, bytes]]:
        """Every ready message, taken out."""
        found: list[tuple[pika.BasicProperties, bytes]] = []
        with self.channel() as channel:
            while True:
                method, properties, body = channel.basic_get(self.name, auto_ack=True)
                if method is None:
                    return found
                found.append((properties, body))


@dataclass(frozen=True)
class LedgerLine:
    """One line that a handler wrote."""

    word: str
    id: str
    attempt: int
    process: int
    body: str


#: What the handlers wrote.
Ledger = Callable[[], list[LedgerLine]]


def read_ledger(file: Path) -> list[LedgerLine]:
    if not file.exists():
        return []
    lines = (line.split("\t") for line in file.read_text(encoding="utf-8").splitlines())
    return [LedgerLine(word, name, int(attempt), int(process), body) for word, name, attempt, process, body in lines]
