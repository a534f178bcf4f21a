"""Messages, headers and properties of every kind on a real broker: each that it confirms is done or dead-lettered."""

import os
import random
import struct

import pika
import pytest
from pika.exceptions import AMQPError
from workqueue_worker.amqp import DeadLetterQueue
from workqueue_worker.amqp.headers import CopiedProperties

from tests.support.task_queue import Ledger, TaskQueue
from tests.support.worker_process import StartWorker, WorkerProcess

MESSAGES = 150  # in each round
#: Bytes of a header table that just fits into a frame, or does not; our own headers need up to 500 more.
NEAR_A_FRAME = (130_500, 131_072)
#: Names that brokers, workers and tracing give a meaning.
NAMES = [
    *("x-death", "x-delivery-count", "x-acquired-count", "x-first-death-queue", "x-workqueue-attempts", "traceparent"),
    *("x-workqueue-reason", "x-workqueue-first-time", "x-workqueue-published-ms", "x-workqueue-left-out", "x-delay"),
]


class Fuzz:
    """Messages by chance, from one seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def message(self, number: int) -> tuple[str, CopiedProperties, bytes]:
        """What is to become of it; its properties; its body, which says that and its number first."""
        chance = self._chance
        verdict = chance.choice(["done", "done", "fail", "reject", "fail-once"])
        body = f"{verdict} {number} ".encode() + self._bytes(chance.choice([0, 10, 1000, 200_000]))
        return verdict, self._properties(), body

    def _properties(self) -> CopiedProperties:
        chance = self._chance
        possible = {
            "content_type": self._short(),
            "content_encoding": self._short(),
            "delivery_mode": chance.choice([1, 2]),
            "priority": chance.randrange(256),
            "correlation_id": self._short(),
            "reply_to": chance.choice([self._short(), b"amq.rabbitmq.reply-to"]),
            "expiration": chance.choice([b"600000", b"4294967295", b"", b"-1", b"soon"]),
            "message_id": self._short(),
            "timestamp": chance.choice([0, 1, 1_700_000_000_000, 2**63, 2**64 - 1]),
            "type": self._short(),
            "user_id": chance.choice([b"guest", b"guest", b"stranger"]),
            "app_id": self._short(),
            "cluster_id": self._short(),
        }
        names = [name for name in possible if chance.random() < 0.3]
        properties = CopiedProperties(**{name: possible[name] for name in names})
        properties.table = self._table()
        return properties

    def _table(self) -> bytes:
        chance = self._chance
        table = b"".join(self._field(depth=0) for _ in range(chance.choice([0, 1, 3, 20])))
        if chance.random() < 0.2:
            table += self._field_of(b"routing", b"A", self._value(b"S", b"elsewhere")).replace(
                b"\x07routing", b"\x02CC"
            )
        if chance.random() < 0.25:
            size = chance.randrange(*NEAR_A_FRAME) - len(table)
            table += self._field_of(b"large", b"S", self._long(self._bytes(max(0, size))))
        return table

    def _field(self, depth: int) -> bytes:
        name = self._chance.choice([self._chance.choice(NAMES).encode(), self._short()[:127]])
        return bytes([len(name)]) + name + self._any_value(depth)

    def _field_of(self, name: bytes, kind: bytes, value: bytes) -> bytes:
        return bytes([len(name)]) + name + kind + (self._long(value) if kind == b"A" else value)

    def _any_value(self, depth: int) -> bytes:
        chance = self._chance
        kinds = "tbBsuIildfDSxTV" + ("AF" if depth < 3 else "") + "?" * (chance.random() < 0.02)
        kind = chance.choice(kinds)
        if kind in "AF":
            make = self._any_value if kind == "A" else self._field
            return kind.encode() + self._long(b"".join(make(depth + 1) for _ in range(chance.randrange(4))))
        if kind in "Sx":
            return self._value(kind.encode(), self._bytes(chance.choice([0, 1, 30, 300])))
        sizes = {"t": 1, "b": 1, "B": 1, "s": 2, "u": 2, "I": 4, "i": 4, "l": 8, "d": 8, "f": 4, "D": 5, "T": 8}
        return kind.encode() + self._bytes(sizes.get(kind, 0))

    def _value(self, kind: bytes, value: bytes) -> bytes:
        return kind + self._long(value)

    def _long(self, value: bytes) -> bytes:
        return struct.pack(">I", len(value)) + value

    def _short(self) -> bytes:
        return self._bytes(self._chance.choice([0, 1, 12, 255]))

    def _bytes(self, count: int) -> bytes:
        letters = self._chance.choice([b"ab", b"\t\n \r\0", bytes(range(256)), "äß€".encode()])
        return bytes(self._chance.choices(letters, k=count))


def publish(queue: TaskQueue, messages: list[tuple[CopiedProperties, bytes]]) -> list[bool]:
    """Which of them the broker has confirmed; those that it refuses cost their connection."""
    confirmed = []
    connection = None
    for properties, body in messages:
        try:
            if connection is None:
                connection = pika.BlockingConnection(pika.URLParameters(queue.uri))
                channel = connection.channel()
                channel.confirm_delivery()
            channel.basic_publish("", queue.name, body, properties, mandatory=True)
        except AMQPError:
            if connection is not None and connection.is_open:
                connection.close()
            connection = None
            confirmed.append(False)
        else:
            confirmed.append(True)
    if connection is not None:
        connection.close()
    return confirmed


def numbers_of_dead_letters(queue: TaskQueue) -> list[int]:
    dead = DeadLetterQueue(queue.server.address(queue.vhost), "test", queue.dead.name)
    try:
        return [int(delivery.body.split(b" ")[1]) for delivery in iter(dead.take, None)]
    finally:
        dead.close()


@pytest.mark.once
@pytest.mark.kills
def test_every_confirmed_message_is_done_or_dead_lettered_whatever_it_holds(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger, rounds: int
) -> None:
    seed = int(os.environ.get("FUZZ_SEED") or random.randrange(1_000_000))
    print(f"to repeat it: FUZZ_SEED={seed}")
    fuzz = Fuzz(seed)
    made = [fuzz.message(number) for number in range(MESSAGES * rounds)]
    flags = ("--retry-max-delay", "0.05", "--max-attempts", "3", "--concurrency", "4")
    worker: WorkerProcess = start_worker(task_queue, "fuzzed", *flags).ready()
    accepted = publish(task_queue, [(properties, body) for _, properties, body in made])
    confirmed = {number for number, taken in enumerate(accepted) if taken}
    assert len(confirmed) > len(made) / 4
    task_queue.wait_for_counts(0, 0, seconds=60 * rounds)
    dead = numbers_of_dead_letters(task_queue)
    done = [int(line.body) for line in ledger() if line.word == "done"]
    assert set(dead) | set(done) == confirmed
    assert len(dead) + len(done) == len(confirmed)  # none is both, none twice
    assert {number for number in confirmed if made[number][0] in ("fail", "reject")} <= set(dead)
    assert worker.get("/readyz") == (200, "consuming\n")
    assert worker.metric("broker_reconnects_total") == 0
