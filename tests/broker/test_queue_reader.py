"""The QueueReader: the same contract for the one that speaks AMQP and for the fake of the other tests."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, connect
from workqueue_broker.declaration import Declare, QueueCounts, QueueDeclaration, QueueType
from workqueue_broker.errors import AccessRefused, BrokerUnavailable, QueueMismatch, QueueMissing
from workqueue_operator.rabbitmq.queue_reader import AmqpQueueReader, QueueReader, QueueReading
from workqueue_operator.resource import QueueSpec

from tests.support.fakes import FakeQueueReader
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.waiting import wait_until


def queue(name: str, declare: Declare = Declare.CREATE, kind: QueueType = QueueType.QUORUM) -> QueueSpec:
    return QueueSpec(QueueDeclaration(name, kind), declare, f"{name}.dead", 20, None, None)


def publish(address: BrokerAddress, name: str, count: int) -> None:
    connection = connect(address, ConnectionSettings("test"))
    channel = connection.channel()
    channel.confirm_delivery()
    for _ in range(count):
        channel.basic_publish("", name, b"task")
    connection.close()


@pytest.fixture(params=["amqp", "fake"])
async def reader(request: pytest.FixtureRequest, broker: BrokerAddress) -> AsyncIterator[QueueReader]:
    made = AmqpQueueReader(broker, "test") if request.param == "amqp" else FakeQueueReader()
    yield made
    await made.close()


async def test_a_missing_queue_is_made_where_it_is_ours_to_make(reader: QueueReader) -> None:
    assert await reader.read([queue("a")]) == [QueueReading(QueueCounts(0, 0), created=True)]
    assert await reader.read([queue("a")]) == [QueueReading(QueueCounts(0, 0), created=False)]


async def test_a_missing_queue_is_an_error_where_it_is_not(reader: QueueReader) -> None:
    (answer,) = await reader.read([queue("a", Declare.NEVER)])
    assert isinstance(answer, QueueMissing)
    assert "'a'" in str(answer)


async def test_the_dead_letter_queue_is_made_with_it(reader: QueueReader) -> None:
    await reader.read([queue("a"), queue("b", Declare.NEVER)])
    answers = await reader.read([queue("a.dead", Declare.NEVER), queue("b.dead", Declare.NEVER)])
    assert [type(answer) for answer in answers] == [QueueReading, QueueMissing]


async def test_a_dead_letter_queue_that_went_is_made_again_when_asked_to(reader: QueueReader) -> None:
    await reader.read([queue("a", Declare.NEVER)])
    reader.declare_dead_letter_queue(queue("a"))
    await reader.read([queue("a", Declare.NEVER)])
    (answer,) = await reader.read([queue("a.dead", Declare.NEVER)])
    assert isinstance(answer, QueueReading)


async def test_another_queue_is_counted_over_the_same_connection(reader: QueueReader) -> None:
    await reader.read([queue("a")])
    assert await reader.count("a.dead") == QueueCounts(0, 0)


async def test_another_queue_that_is_missing_is_an_error_and_spoils_no_reading(reader: QueueReader) -> None:
    await reader.read([queue("a")])
    for _ in range(3):
        with pytest.raises(QueueMissing, match="no-such-queue"):
            await reader.count("no-such-queue")
        assert await reader.read([queue("a")]) == [QueueReading(QueueCounts(0, 0))]
    assert await reader.count("a.dead") == QueueCounts(0, 0)


async def test_without_a_connection_another_queue_is_not_counted(broker: BrokerAddress) -> None:
    reader = AmqpQueueReader(broker, "test")
    with pytest.raises(BrokerUnavailable, match="no connection"):
        await reader.count("a")
    assert await reader.read([queue("a")]) == [QueueReading(QueueCounts(0, 0), created=True)]
    await reader.close()


async def test_a_missing_queue_spoils_no_other_reading(reader: QueueReader) -> None:
    answers = await reader.read([queue("a"), queue("b", Declare.NEVER), queue("c")])
    assert [type(answer) for answer in answers] == [QueueReading, QueueMissing, QueueReading]


async def test_a_queue_that_the_user_may_not_use_spoils_no_other_reading(
    rabbitmq: RabbitMQServer, broker: BrokerAddress
) -> None:
    """Not in its own round and not in a later one: its refusal closes a channel, and the connection stays."""
    user, vhost = f"one-queue-of-{broker.virtual_host}", broker.virtual_host
    rabbitmq.management("PUT", f"/api/users/{user}", {"password": "secret", "tags": ""})
    rabbitmq.management(
        "PUT", f"/api/permissions/{vhost}/{user}", {"configure": "^[ac]$", "write": "^[ac]$", "read": "^[ac]$"}
    )
    reader = AmqpQueueReader(replace(broker, username=user, password="secret"), "test")
    for _ in range(3):
        answers = await reader.read([queue("a"), queue("b"), queue("c")])
        assert [type(answer) for answer in answers] == [QueueReading, AccessRefused, QueueReading]
        assert "'b'" in str(answers[1])
    assert rabbitmq.connection_count(vhost) == 1
    await reader.close()


async def test_a_queue_that_is_exclusive_to_another_connection_spoils_no_other_reading(
    rabbitmq: RabbitMQServer, broker: BrokerAddress
) -> None:
    other = connect(broker, ConnectionSettings("test"))
    other.channel().queue_declare("b", exclusive=True)
    reader = AmqpQueueReader(broker, "test")
    for _ in range(3):
        answers = await reader.read([queue("a"), queue("b"), queue("c")])
        assert [type(answer) for answer in answers] == [QueueReading, QueueMismatch, QueueReading]
        assert "exclusive" in str(answers[1])
    assert rabbitmq.connection_count(broker.virtual_host) == 2
    await reader.close()
    other.close()


async def test_the_counts_are_live(broker: BrokerAddress) -> None:
    """Right after the confirm, not a statistics interval later."""
    reader = AmqpQueueReader(broker, "test")
    await reader.read([queue("a")])
    publish(broker, "a", 7)
    assert await reader.read([queue("a")]) == [QueueReading(QueueCounts(7, 0))]
    await reader.close()


@pytest.mark.any_rabbitmq
async def test_a_thousand_readings_with_half_of_the_queues_missing_keep_one_connection(
    rabbitmq: RabbitMQServer, broker: BrokerAddress
) -> None:
    reader = AmqpQueueReader(broker, "test")
    queues = [
        queue(f"q{number}", Declare.NEVER if number % 2 else Declare.CREATE, QueueType.CLASSIC) for number in range(50)
    ]
    for _ in range(20):
        answers = await reader.read(queues)
        assert sum(isinstance(answer, QueueMissing) for answer in answers) == 25
    assert rabbitmq.connection_count(broker.virtual_host) == 1
    await reader.close()


async def test_a_queue_of_another_type_gives_its_counts_and_the_mismatch(broker: BrokerAddress) -> None:
    connection = connect(broker, ConnectionSettings("test"))
    QueueDeclaration("a", QueueType.CLASSIC).declare(connection.channel())
    connection.close()
    reader = AmqpQueueReader(broker, "test")
    (answer,) = await reader.read([queue("a")])
    assert isinstance(answer, QueueReading)
    assert (answer.counts.messages_ready, answer.counts.consumers) == (0, 0)
    assert isinstance(answer.mismatch, QueueMismatch)
    assert "x-queue-type" in str(answer.mismatch)
    await reader.close()


async def test_a_wrong_password_is_an_access_error_without_the_password(rabbitmq: RabbitMQServer) -> None:
    address = BrokerAddress.from_uri(f"amqp://guest:topsecret@127.0.0.1:{rabbitmq.amqp_port}/")
    reader = AmqpQueueReader(address, "test")
    (answer,) = await reader.read([queue("a")])
    assert isinstance(answer, AccessRefused)
    assert "topsecret" not in str(answer)
    await reader.close()


async def test_a_broker_that_was_never_there_is_unavailable() -> None:
    reader = AmqpQueueReader(BrokerAddress(hosts=(("127.0.0.1", 1),)), "test")
    (answer,) = await reader.read([queue("a")])
    assert isinstance(answer, BrokerUnavailable)
    await reader.close()


async def test_a_server_that_accepts_and_says_nothing_is_unavailable() -> None:
    """A client that connects gets BrokerUnavailable; a reading does not wait that long."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = BrokerAddress(hosts=(silent.getsockname(),))
        with pytest.raises(BrokerUnavailable):
            await asyncio.to_thread(connect, address, ConnectionSettings("test"))


async def test_a_host_name_without_an_address_is_unavailable() -> None:
    reader = AmqpQueueReader(BrokerAddress(hosts=(("no-such-host.invalid", 5672),)), "test")
    (answer,) = await reader.read([queue("a")])
    assert isinstance(answer, BrokerUnavailable)
    await reader.close()


async def test_after_a_broker_restart_the_readings_go_on(own_rabbitmq: RabbitMQServer) -> None:
    reader = AmqpQueueReader(own_rabbitmq.address(), "test")
    await reader.read([queue("a")])
    publish(own_rabbitmq.address(), "a", 3)
    own_rabbitmq.stop()
    (away,) = await reader.read([queue("a")])
    assert isinstance(away, BrokerUnavailable)
    own_rabbitmq.start()
    expected = QueueReading(QueueCounts(3, 0))
    for _ in range(100):  # a quorum queue answers 0 and 0 until it has a leader again
        (answer,) = await reader.read([queue("a")])
        if answer == expected:
            break
        await asyncio.sleep(0.1)
    assert answer == expected
    await reader.close()


async def test_a_queue_that_was_deleted_under_load_is_made_again(broker: BrokerAddress) -> None:
    reader = AmqpQueueReader(broker, "test")
    await reader.read([queue("a")])
    connection = connect(broker, ConnectionSettings("test"))
    connection.channel().queue_delete("a")
    connection.close()
    assert await reader.read([queue("a")]) == [QueueReading(QueueCounts(0, 0), created=True)]
    await reader.close()


@pytest.mark.any_rabbitmq
async def test_a_broker_that_hangs_is_unavailable_in_time(own_rabbitmq: RabbitMQServer) -> None:
    """A stopped process accepts and answers nothing; the reading must not wait for it."""
    reader = AmqpQueueReader(own_rabbitmq.address(), "test")
    await reader.read([queue("a")])
    own_rabbitmq.freeze()
    try:
        for _ in range(2):
            (answer,) = await reader.read([queue("a")])
            assert isinstance(answer, BrokerUnavailable)
    finally:
        own_rabbitmq.thaw()
    await asyncio.to_thread(
        wait_until,
        lambda: own_rabbitmq.counts(own_rabbitmq.default_vhost, "a") == (0, 0),
        30,
        "the broker answers again",
    )
    for _ in range(100):
        (answer,) = await reader.read([queue("a")])
        if isinstance(answer, QueueReading):
            break
        await asyncio.sleep(0.1)
    assert isinstance(answer, QueueReading)
    await reader.close()


async def test_a_user_with_few_channels_loses_few_connections_and_its_dead_letters_are_counted_too(
    rabbitmq: RabbitMQServer, broker: BrokerAddress
) -> None:
    """All channels that were being opened are refused at once, which says no more than one refusal."""
    queues = [queue(f"q{number}", kind=QueueType.CLASSIC) for number in range(40)]
    connection = connect(broker, ConnectionSettings("test"))
    for each in queues:
        each.declaration.declare(connection.channel())
    connection.close()
    rabbitmq.management("PUT", "/api/users/few", {"password": "few", "tags": ""})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    rabbitmq.management("PUT", f"/api/permissions/{broker.virtual_host}/few", everything)
    rabbitmq.management("PUT", "/api/user-limits/few/max-channels", {"value": 10})
    reader = AmqpQueueReader(replace(broker, username="few", password="few"), "test")
    counts: QueueCounts | None = None
    lost = 0
    for _ in range(10):
        answers = await reader.read(queues)
        lost += not all(isinstance(answer, QueueReading) for answer in answers)
        with suppress(AccessRefused, BrokerUnavailable):
            counts = await reader.count("q0")
            break
        assert lost <= 3  # with 32 channels, with 16, and perhaps with 8 and the one for counts
    assert counts == QueueCounts(0, 0)
    await reader.close()
