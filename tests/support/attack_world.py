"""One operator, a tenant who attacks it, and a neighbour whose readings must go on.

`python attack_world.py` runs the attacks of a broker and of a management API, one after the other, in a process of its
own, and prints what came of each, so that a test can look at the process's memory.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from workqueue_broker.address import BrokerAddress
from workqueue_operator.rabbitmq.queue_reader import AmqpQueueReader, QueueReader, ReadResult
from workqueue_operator.resource import QueueSpec

from tests.support.fakes import FakeQueueReader
from tests.support.hostile_broker import BODY, HEARTBEAT, HUGE, MESSAGE, Talk, at_once, with_open_channel
from tests.support.hostile_server import MIB, Endless, HostileServer, answer, gzip_bomb, http
from tests.support.operating import NAME, NEIGHBOUR, Operating, operating

NEIGHBOURS_HOST = "neighbour.invalid"
#: So often the neighbour's queue must be read after an attack had its effect.
READINGS = 10
SECONDS = 40


class NeighboursReader(FakeQueueReader):
    """A broker that works; counts how often it was asked, and for how long it was not (seconds)."""

    readings = 0
    longest_pause = 0.0
    last = 0.0

    async def read(self, queues: Sequence[QueueSpec]) -> Sequence[ReadResult]:
        now = time.monotonic()
        self.longest_pause = max(self.longest_pause, now - (self.last or now))
        self.last = now
        self.readings += 1
        return await super().read(queues)


class IdleReader(FakeQueueReader):
    """An attacker's broker in attacks by other ways."""


@dataclass
class World:
    """What an attack is looked at with."""

    operator: Operating
    neighbour: NeighboursReader

    async def readings_go_on(self, times: int = READINGS) -> None:
        """The neighbour's queue is read so often from now on."""
        enough = self.neighbour.readings + times
        await self.operator.until(lambda: self.neighbour.readings >= enough, "the neighbour's readings go on", SECONDS)
        assert self.operator.observed(NEIGHBOUR.name)

    async def reported_of_management(self, server: HostileServer) -> str:
        """What was found out about the attacker's management API. A status does not follow what differs by a port."""

        def reported() -> str:
            checked = [one.policy for one in self.operator.store if one.key == NAME and one.policy]
            message = checked[0].verdict.message if checked else ""
            return message if f":{server.port}/" in message else ""

        return await self.operator.until(reported, "PolicyApplied is reported", SECONDS)

    async def reported_of_broker(self, server: HostileServer, words: str) -> str:
        """What was found out about the attacker's broker, once that says these words."""

        def reported() -> str:
            texts = [str(one.last.trouble) for one in self.operator.store if one.key == NAME and one.last.trouble]
            return next((text for text in texts if f":{server.port}/" in text and words in text), "")

        return await self.operator.until(reported, f"the reading says: {words}", SECONDS)


@asynccontextmanager
async def attack_world(secret: dict[str, str], amqp: bool = False) -> AsyncIterator[World]:
    """The attacker's Secret is `secret`; with `amqp` its broker is really connected with."""
    neighbour = NeighboursReader()

    def open_queues(address: BrokerAddress) -> QueueReader:
        if address.hosts[0][0] == NEIGHBOURS_HOST:
            return neighbour
        return AmqpQueueReader(address, "test") if amqp else IdleReader()

    async with operating(open_queues) as operator:
        operator.add_neighbour({"host": NEIGHBOURS_HOST})
        operator.add(secret)
        yield World(operator, neighbour)


def management_secret(server: HostileServer) -> dict[str, str]:
    """A Secret whose management API is the hostile server."""
    return {"host": "127.0.0.1", "management_uri": f"http://127.0.0.1:{server.port}"}


def _many_queues() -> bytes:
    item = b'{"name": "queue", "messages_unacknowledged": 1, "message_stats": {"publish": 1, "ack": 1}},'
    return b"[" + item * 300_000 + b"{}]"


#: Talks of a hostile management API, by name.
MANAGEMENT_ATTACKS: dict[str, Callable[[], Talk]] = {
    "deep JSON with 404": lambda: http(answer(b"[" * 100_000, "404 Not Found")),
    "deep JSON": lambda: http(answer(b"[" * 100_000)),
    "charset hex": lambda: http(answer(b"{}", Content_Type="application/json; charset=hex")),
    "10 MiB of reason": lambda: http(answer(json.dumps({"reason": "x" * 10 * MIB}).encode(), "404 Not Found")),
    "gzip bomb": lambda: http(answer(gzip_bomb(), Content_Encoding="gzip")),
    "endless body": lambda: http(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", Endless(b"x" * MIB)),
    "300,000 queues": lambda: http(answer(_many_queues())),
    "empty lists": lambda: http(answer(b"[" + b"[]," * (2 * MIB) + b"[]]")),
}


#: Talks of a hostile broker, by name, and what is said of it.
BROKER_ATTACKS: dict[str, tuple[Talk, str]] = {
    "a message without a consumer": (with_open_channel([MESSAGE, Endless(BODY)]), "sends a message"),
    "a frame of 2 GiB": (with_open_channel([HUGE, Endless(b"x" * MIB)]), "a frame of 2147483648 bytes"),
    "a frame of 2 GiB as a greeting": (at_once([HUGE, Endless(b"x" * MIB)]), "a frame of 2147483648 bytes"),
    "heartbeats without end": (with_open_channel(Endless(HEARTBEAT * 1000)), "frames that nothing asked for"),
    "no AMQP": (at_once([b"HTTP/1.1 400 Bad Request\r\n\r\n"]), "what is no AMQP; is the port"),
    "a broken method": (at_once([b"\x01\x00\x00\x00\x00\x00\x04\xff\xff\xff\xff\xce"]), "what is no AMQP (KeyError)"),
}


def broker_secret(server: HostileServer) -> dict[str, str]:
    """A Secret whose broker is the hostile server."""
    return {"host": "127.0.0.1", "port": str(server.port)}


async def _attack() -> None:
    async with attack_world({"host": NEIGHBOURS_HOST}, amqp=True) as world:
        for name, (talk, words) in BROKER_ATTACKS.items():
            with HostileServer(talk) as server:
                world.operator.change_secret(broker_secret(server))
                message = await world.reported_of_broker(server, words)
                await world.readings_go_on()
            _print(name, message, world.neighbour)
    async with attack_world({"host": "127.0.0.1"}) as world:
        for name, make in MANAGEMENT_ATTACKS.items():
            with HostileServer(await asyncio.to_thread(make)) as server:
                world.operator.change_secret(management_secret(server))
                message = await world.reported_of_management(server)
                await world.readings_go_on()
            _print(name, message, world.neighbour)


def _print(attack: str, message: str, neighbour: NeighboursReader) -> None:
    """What came of the attack. The peak is the process's since it began; the pause is the longest under this attack."""
    came = {"attack": attack, "reported": message, "peak_mib": _peak_mib(), "longest_pause": neighbour.longest_pause}
    print(json.dumps(came), flush=True)
    neighbour.longest_pause = 0.0


def _peak_mib() -> float:
    """This program's own peak. getrusage's is that of the process that started it, as far as that was bigger."""
    high_water = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert high_water, "Linux counts it"
    return int(high_water[1]) / 1024


if __name__ == "__main__":
    asyncio.run(_attack())
