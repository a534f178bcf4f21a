"""A queue that cannot be used makes RabbitMQ log an error now and then, and not at each reading."""

from collections.abc import Sequence

import pytest
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, connect
from workqueue_operator.rabbitmq.queue_reader import AmqpQueueReader, ReadResult
from workqueue_operator.resource import QueueSpec

from tests.support.operating import operating, secret_of
from tests.support.rabbitmq_server import RabbitMQServer

ROUNDS = 40
#: With waits that double from 0.2 s to 10 s so many questions take most of a minute; 40 rounds need eight seconds.
MOST_QUESTIONS = 10


class CountingReader(AmqpQueueReader):
    """A reader that counts its rounds."""

    rounds = 0

    async def read(self, queues: Sequence[QueueSpec]) -> Sequence[ReadResult]:
        self.rounds += 1
        return await super().read(queues)


def errors_in_log(server: RabbitMQServer, vhost: str) -> int:
    return sum(f"in vhost '{vhost}'" in line for line in server.log().splitlines())


def declare_quorum(address: BrokerAddress) -> None:
    connection = connect(address, ConnectionSettings("test"))
    connection.channel().queue_declare("jobs", durable=True, arguments={"x-queue-type": "quorum"})
    connection.close()


@pytest.mark.parametrize(
    ("queue", "reason"),
    [
        ({"name": "jobs", "declare": "Never"}, "QueueMissing"),
        ({"name": "jobs", "type": "Classic"}, "QueueMismatch"),
    ],
    ids=["missing", "of another type"],
)
async def test_the_log_gets_few_lines_about_a_queue_that_cannot_be_used(
    rabbitmq: RabbitMQServer, queue: dict[str, str], reason: str
) -> None:
    vhost = rabbitmq.new_vhost()
    address = rabbitmq.address(vhost)
    if reason == "QueueMismatch":
        declare_quorum(address)
    reader: list[CountingReader] = []

    def open_queues(address: BrokerAddress) -> CountingReader:
        reader.append(CountingReader(address, "test"))
        return reader[-1]

    async with operating(open_queues) as operator:
        operator.add(secret_of(address), queue=queue)
        await operator.until(lambda: reader and reader[0].rounds >= ROUNDS, "rounds go on", seconds=120)
        assert operator.condition("QueueObserved")["reason"] == reason
        assert len(reader) == 1
    assert 1 <= errors_in_log(rabbitmq, vhost) <= MOST_QUESTIONS
