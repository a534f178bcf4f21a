"""The operator's way to read many queues beside one blocking channel, on one broker in one run.

Usage: python -m benchmarks.readings.run [--rounds 7] [--queues 1000] [--rabbitmq 4.0] [--output FOLDER].
It starts a RabbitMQ of its own on loopback and makes that many quorum queues there, which takes longest.
"""

import argparse
import asyncio
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, connect
from workqueue_broker.declaration import QueueDeclaration, read_counts
from workqueue_operator.rabbitmq.queue_reader import AmqpQueueReader, QueueReading
from workqueue_operator.resource import Declare, QueueSpec

from benchmarks.rounds import Run, facts, take_turns, write
from tests.support.rabbitmq_server import RabbitMQServer

HERE = Path(__file__).parent
BASELINE = "one blocking channel"
SETTINGS = ConnectionSettings("bench")
#: Times that all queues are read in one measurement; one more, before it, connects and opens the channels.
PASSES = 3
#: By shape: the clock that the rate is taken with.
CLOCKS = {"reads a second": time.perf_counter, "reads a second of the reader's processor time": time.process_time}


def main() -> None:
    """Run everything and write it down."""
    options = _options()
    failures: list[str] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(RabbitMQServer(Path(directory) / "broker", options.rabbitmq)) as server,
    ):
        server.start()
        rabbitmq = server.release
        names = _declared(server.address(), options.queues)
        rates = list(take_turns(_runs(server.address(), names), options.rounds, options.minutes, failures))
    recorded = facts(f"python benchmarks/readings/{shlex.join(['run.py', *sys.argv[1:]])}", rabbitmq)
    recorded |= {"queues": str(options.queues), "rounds": str(max(rate.round for rate in rates))}
    recorded |= {"failed": "; ".join(failures) or "none"}
    write(options.output, f"rabbitmq-{options.rabbitmq}", recorded, rates, [BASELINE])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="at least 1 (default: %(default)s)")
    parser.add_argument("--queues", type=int, default=1000, help="quorum queues (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=5.0, help="start no round that would end later")
    parser.add_argument("--rabbitmq", default="4.0", help="version (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder to write to")
    return parser.parse_args()


def _declared(address: BrokerAddress, count: int) -> list[str]:
    """That many quorum queues, each with a message."""
    connection = connect(address, SETTINGS)
    channel, names = connection.channel(), [f"queue-{number}" for number in range(count)]
    for number, name in enumerate(names, 1):
        QueueDeclaration(name).declare(channel)
        channel.basic_publish("", name, b"task")
        if number % 100 == 0:
            print(f"{number}/{count} queues made", file=sys.stderr, flush=True)
    connection.close()
    return names


def _runs(address: BrokerAddress, names: Sequence[str]) -> list[Run]:
    contenders = {BASELINE: _blocking, "AmqpQueueReader": _reader}
    return [
        Run(f"{len(names)} quorum queues, {shape}", name, _Measurement(contender, address, names, clock))
        for shape, clock in CLOCKS.items()
        for name, contender in contenders.items()
    ]


@dataclass(frozen=True)
class _Measurement:
    contender: Callable[[BrokerAddress, Sequence[str], Callable[[], float]], float]
    address: BrokerAddress
    names: Sequence[str]
    clock: Callable[[], float]

    def __call__(self) -> float:
        """The rate; raises when a queue is not read."""
        return PASSES * len(self.names) / self.contender(self.address, self.names, self.clock)


def _blocking(address: BrokerAddress, names: Sequence[str], clock: Callable[[], float]) -> float:
    """Seconds for the passes."""
    connection = connect(address, SETTINGS)
    channel = connection.channel()
    _check([read_counts(channel, name).messages_ready for name in names])
    started = clock()
    for _ in range(PASSES):
        _check([read_counts(channel, name).messages_ready for name in names])
    seconds = clock() - started
    connection.close()
    return seconds


def _reader(address: BrokerAddress, names: Sequence[str], clock: Callable[[], float]) -> float:
    """Seconds for the passes."""
    return asyncio.run(_read(address, [_spec(name) for name in names], clock))


async def _read(address: BrokerAddress, queues: Sequence[QueueSpec], clock: Callable[[], float]) -> float:
    reader = AmqpQueueReader(address, "bench")
    try:
        _check(await _messages(reader, queues))
        started = clock()
        for _ in range(PASSES):
            _check(await _messages(reader, queues))
        return clock() - started
    finally:
        await reader.close()


async def _messages(reader: AmqpQueueReader, queues: Sequence[QueueSpec]) -> list[int]:
    answers = await reader.read(queues)
    return [answer.counts.messages_ready if isinstance(answer, QueueReading) else -1 for answer in answers]


def _check(messages: Sequence[int]) -> None:
    if set(messages) != {1}:
        raise RuntimeError(f"not every queue was read with its one message: {sorted(set(messages))}")


def _spec(name: str) -> QueueSpec:
    return QueueSpec(QueueDeclaration(name), Declare.NEVER, f"{name}.dead", 10, None, None)


if __name__ == "__main__":
    main()
