"""A RabbitMQ that runs already and that `--rabbitmq amqp://…` names: the tests change only what they made there.

What needs its node (alarms, settings, a stop, a crash, its own configuration) makes the test a skip. Each test has a
virtual host of its own, which is removed at the end, as are the users that tests made.
"""

import time
import urllib.error
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pika

from tests.support.given_node import GivenNode, needs_own
from tests.support.rabbitmq_node import Ports
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.waiting import wait_until

#: Where the tests put proxies before it, and what some tests break: never another machine.
LOOPBACK = ("127.0.0.1", "localhost")
#: A queue reports its unsettled messages within 5 s, and the management API collects that within another 5 s
#: (collect_statistics_interval, quorum_tick_interval).
STATISTICS_SECONDS = 11.0
#: How long a queue may be in motion before its counts are returned as they are.
MOTION_SECONDS = 60.0


@dataclass(frozen=True)
class Given:
    """What the URI says."""

    port: int
    management_port: int
    user: str
    password: str = field(repr=False)

    @classmethod
    def parse(cls, uri: str) -> "Given":
        """Of amqp://user:password@127.0.0.1:port/?management_port=15672; raises ValueError."""
        parts = urlsplit(uri)
        place = f"--rabbitmq {parts.scheme}://{parts.hostname}"
        if parts.scheme != "amqp" or parts.hostname not in LOOPBACK:
            raise ValueError(
                f"{place}: the tests need amqp:// on 127.0.0.1; forward the ports of another RabbitMQ to it"
            )
        if parts.path not in ("", "/"):
            raise ValueError(f"{place}: name no virtual host, each test makes one of its own")
        query = parse_qs(parts.query, strict_parsing=bool(parts.query))
        if set(query) - {"management_port"}:
            raise ValueError(f"{place}: management_port is the only parameter")
        management = int(query.get("management_port", ["15672"])[0])
        user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
        return cls(parts.port or 5672, management, user, password)


class GivenRabbitMQ(RabbitMQServer):
    """The same for a test, as far as management API and AMQP reach."""

    late_seconds = MOTION_SECONDS

    def __init__(self, uri: str) -> None:
        given = Given.parse(uri)
        self.listen, self.default_vhost = GivenNode.listen, "/"
        self.ports = Ports(given.port, given.management_port, 0, 0, 0)
        self.user, self.password = given.user, given.password
        self._node = GivenNode()
        self._vhosts: list[str] = []
        self._users: set[str] = set()

    def start(self) -> "GivenRabbitMQ":
        """Only look that it is there; raises RuntimeError."""
        try:
            self.management("GET", "/api/overview")
        except OSError as error:
            raise RuntimeError(
                f"{self.management_uri}: no management API for {self.user} there: {error}. It needs the plugin "
                "rabbitmq_management and an administrator's login; ?management_port= in the URI names another port"
            ) from error
        return self

    def close(self) -> None:
        """Remove what the tests made."""
        for vhost in self._vhosts:
            super().management("DELETE", f"/api/vhosts/{vhost}")
        for user in self._users:
            if self._exists(f"/api/users/{user}"):
                super().management("DELETE", f"/api/users/{user}")

    @property
    def release(self) -> str:
        return str(self.management("GET", "/api/overview")["rabbitmq_version"])

    def new_vhost(self) -> str:
        self._vhosts.append(super().new_vhost())
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self.management("PUT", f"/api/permissions/{self._vhosts[-1]}/{quote(self.user, safe='')}", everything)
        return self._vhosts[-1]

    def management(self, method: str, path: str, body: object = None) -> Any:
        """A user whom the tests did not make is left alone: its test is skipped."""
        if method == "PUT" and path.startswith("/api/users/"):
            name = path.removeprefix("/api/users/")
            if name not in self._users and self._exists(path):
                needs_own(f"the given one has a user {name} already")
            self._users.add(name)
        return super().management(method, path, body)

    def collects_statistics_each_second(self) -> None:
        needs_own("it has to collect statistics each second")

    def late_counts(self, vhost: str, queue: str) -> tuple[int, int]:
        """As they were after this was called, in seconds: the management API has the second one late."""
        deadline = time.monotonic() + MOTION_SECONDS
        while True:
            before = self._ready(vhost, queue)
            _wait_for_newer_statistics()
            found = self.management("GET", f"/api/queues/{quote(vhost, safe='')}/{quote(queue, safe='')}")
            after = self._ready(vhost, queue)
            steady = before == after == found.get("messages_ready")
            if steady or time.monotonic() > deadline:
                return after, int(found.get("messages_unacknowledged", 0))

    def is_consumed(self, vhost: str, queue: str) -> bool:
        """As it was after this was called."""
        _wait_for_newer_statistics()
        consumers = self.management("GET", f"/api/consumers/{quote(vhost, safe='')}")
        return any(consumer["queue"]["name"] == queue for consumer in consumers)

    def _ready(self, vhost: str, queue: str) -> int:
        """A passive declaration's count, which the queue itself answers; raises LookupError."""
        connection = pika.BlockingConnection(pika.URLParameters(self.uri(vhost)))
        try:
            return int(connection.channel().queue_declare(queue, passive=True).method.message_count)
        except pika.exceptions.ChannelClosedByBroker as error:
            raise LookupError(f"there is no queue {queue} in virtual host {vhost}") from error
        finally:
            connection.close()

    def _exists(self, path: str) -> bool:
        try:
            super().management("GET", path)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return False
        return True


def _wait_for_newer_statistics() -> None:
    asked = time.monotonic()
    wait_until(lambda: time.monotonic() > asked + STATISTICS_SECONDS, 60, "the statistics are newer")
