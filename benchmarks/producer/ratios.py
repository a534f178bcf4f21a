"""The publisher against one-at-a-time confirms and against a bare windowed SelectConnection, on one broker in one run.

All send the same: persistent, mandatory, confirmed, 100 bytes, window 1000. They take turns, so that a busy machine
slows all of them; the ratios of each round are told, and their median.
Run: python benchmarks/producer/ratios.py [--rabbitmq 3.10] [--queue-type Quorum] [--rounds 15] [--messages 20000]
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import pika

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))

from rabbitmq_server import RabbitMQServer
from workqueue_broker.address import BrokerAddress
from workqueue_broker.declaration import QueueDeclaration, QueueType
from workqueue_producer import Publisher

BODY = b"x" * 100
WINDOW = 1000
PERSISTENT = pika.BasicProperties(delivery_mode=2)
ONE_AT_A_TIME = 500  # messages; it is slow enough to measure with few


def one_at_a_time(uri: str, queue: QueueDeclaration) -> float:
    with pika.BlockingConnection(pika.URLParameters(uri)) as connection:
        channel = connection.channel()
        queue.declare(channel)
        channel.confirm_delivery()
        started = perf_counter()
        for _ in range(ONE_AT_A_TIME):
            channel.basic_publish("", queue.name, BODY, PERSISTENT, mandatory=True)
        return ONE_AT_A_TIME / (perf_counter() - started)


class BareWindow:
    """The shortest program with pika that keeps a window of unconfirmed messages; no ids, no resend, no errors."""

    def __init__(self, uri: str, queue: QueueDeclaration, messages: int) -> None:
        self.queue = queue
        self.messages = messages
        self.sent = 0
        self.pending: set[int] = set()
        self.all_confirmed_to = 0
        self.started = self.ended = 0.0
        self.connection = pika.SelectConnection(
            pika.URLParameters(uri),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self.declare),
            on_close_callback=lambda connection, _: connection.ioloop.stop(),
        )

    def run(self) -> float:
        self.connection.ioloop.start()
        return self.messages / (self.ended - self.started)

    def declare(self, channel: pika.channel.Channel) -> None:
        self.channel = channel
        confirming = lambda _: channel.confirm_delivery(self.on_answer, callback=self.start)  # noqa: E731
        channel.queue_declare(self.queue.name, durable=True, arguments=self.queue.arguments, callback=confirming)

    def start(self, _: object) -> None:
        self.started = perf_counter()
        self.fill()

    def fill(self) -> None:
        while self.sent < self.messages and len(self.pending) < WINDOW:
            self.channel.basic_publish("", self.queue.name, BODY, PERSISTENT, mandatory=True)
            self.sent += 1
            self.pending.add(self.sent)

    def on_answer(self, frame: pika.frame.Method) -> None:
        tag = frame.method.delivery_tag
        if frame.method.multiple:
            self.pending.difference_update(range(self.all_confirmed_to + 1, tag + 1))
            self.all_confirmed_to = tag
        else:
            self.pending.discard(tag)
        if not self.pending and self.sent == self.messages:
            self.ended = perf_counter()
            self.connection.close()
        else:
            self.fill()


def ours(uri: str, queue: QueueDeclaration, messages: int) -> float:
    with Publisher(BrokerAddress.from_uri(uri), queue) as publisher:
        publisher.publish(BODY)  # connected, as the others are when their time starts
        started = perf_counter()
        publisher.publish_many(BODY for _ in range(messages))
        return messages / (perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rabbitmq", default="3.10")
    parser.add_argument("--queue-type", type=QueueType, default=QueueType.QUORUM)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--messages", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = RabbitMQServer(Path(directory), options.rabbitmq)
        try:
            measure(server.start(), options)
        finally:
            server.close()


def measure(server: RabbitMQServer, options: argparse.Namespace) -> None:
    queue = QueueDeclaration("benchmark", options.queue_type)
    uri = server.uri()
    contenders: list[tuple[str, Callable[[], float]]] = [
        ("one at a time", lambda: one_at_a_time(uri, queue)),
        ("bare window", lambda: BareWindow(uri, queue, options.messages).run()),
        ("ours", lambda: ours(uri, queue, options.messages)),
    ]
    rates: dict[str, list[float]] = {name: [] for name, _ in contenders}
    for number in range(options.rounds):
        for name, run in contenders[number % 3 :] + contenders[: number % 3]:  # each is first as often as the others
            rates[name].append(run())
            empty(uri, queue)
        print(f"round {number + 1}: " + ", ".join(f"{name} {values[-1]:.0f}/s" for name, values in rates.items()))
    for other in ("one at a time", "bare window"):
        ratios = [mine / theirs for mine, theirs in zip(rates["ours"], rates[other], strict=True)]
        middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
        print(f"ours against {other}: median {middle:.2f} (from {low:.2f} to {high:.2f})")


def empty(uri: str, queue: QueueDeclaration) -> None:
    with pika.BlockingConnection(pika.URLParameters(uri)) as connection:
        connection.channel().queue_delete(queue.name)


if __name__ == "__main__":
    main()
