"""A queue that cannot be read holds the workers, says why, and is read again by itself: one test for each cause."""

import asyncio

import pytest
from operating import SECRET, operating, secret_of
from rabbitmq_server import RabbitMQServer
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, connect

QUEUE = {"queue": {"name": "jobs"}}
FALLBACK = {"scaling": {"fallback": {"afterSeconds": 2, "replicas": 2}}}


def send(address: BrokerAddress, count: int, declare: bool = False) -> None:
    connection = connect(address, ConnectionSettings("test"))
    channel = connection.channel()
    if declare:
        channel.queue_declare("jobs", durable=True, arguments={"x-queue-type": "quorum"})
    channel.confirm_delivery()
    for _ in range(count):
        channel.basic_publish("", "jobs", b"task")
    connection.close()


async def test_broker_unreachable_at_the_start(own_rabbitmq: RabbitMQServer) -> None:
    own_rabbitmq.stop()
    async with operating() as operator:
        operator.add(secret_of(own_rabbitmq.address()), replicas=3)
        assert await operator.until(operator.unknown_because, "the queue is unknown") == "Unavailable"
        assert operator.replicas == 3
        await asyncio.to_thread(own_rabbitmq.start)
        send(own_rabbitmq.address(), 20, declare=True)
        await operator.until(lambda: operator.replicas == 4, "the queue is read")


@pytest.mark.parametrize("replicas", [0, 1])
async def test_fallback_with_a_broker_that_was_never_reachable(own_rabbitmq: RabbitMQServer, replicas: int) -> None:
    own_rabbitmq.stop()
    async with operating() as operator:
        operator.add(secret_of(own_rabbitmq.address()), replicas=replicas, **FALLBACK)
        await operator.until(lambda: operator.replicas == 2, "the fallback's workers run")
        assert operator.status["lastDecision"]["reason"] == "Fallback"


async def test_broker_gone_later(own_rabbitmq: RabbitMQServer) -> None:
    async with operating() as operator:
        operator.add(secret_of(own_rabbitmq.address()))
        await operator.until(operator.observed, "the queue is read")
        send(own_rabbitmq.address(), 20)
        await operator.until(lambda: operator.replicas == 4, "four workers run")
        own_rabbitmq.kill()
        assert await operator.until(operator.unknown_because, "the queue is unknown") == "Unavailable"
        assert operator.replicas == 4
        await asyncio.to_thread(own_rabbitmq.start)
        await operator.until(operator.observed, "the queue is read again")


async def test_channel_closed_by_404(broker: BrokerAddress) -> None:
    async with operating() as operator:
        operator.add(secret_of(broker), replicas=2, queue={"name": "jobs", "declare": "Never"})
        assert await operator.until(operator.unknown_because, "the queue is unknown") == "QueueMissing"
        assert "'jobs'" in operator.condition("QueueObserved")["message"]
        assert operator.replicas == 2
        send(broker, 15, declare=True)
        await operator.until(lambda: operator.replicas == 3, "the queue is read")


async def test_queue_deleted_under_load(broker: BrokerAddress) -> None:
    """It is made again, and as nobody consumes from the new one yet, the workers are held."""
    async with operating() as operator:
        operator.add(secret_of(broker), **QUEUE)
        await operator.until(operator.observed, "the queue is read")
        send(broker, 20)
        await operator.until(lambda: operator.replicas == 4, "four workers run")
        connection = connect(broker, ConnectionSettings("test"))
        connection.channel().queue_delete("jobs")
        connection.close()
        assert await operator.until(operator.unknown_because, "the new queue has no consumers") == "NoLeader"
        assert operator.replicas == 4
        assert "QueueCreated" in [event.reason for event in operator.cluster.events]


async def test_ready_workers_and_no_consumers_is_a_queue_without_a_leader(broker: BrokerAddress) -> None:
    """What a quorum queue answers whose leader is away; the workers of the fake are Ready and consume nowhere."""
    async with operating() as operator:
        operator.add(secret_of(broker), replicas=5)
        assert await operator.until(operator.unknown_because, "the queue is unknown") == "NoLeader"
        assert operator.replicas == 5


async def test_credentials_changed(rabbitmq: RabbitMQServer, broker: BrokerAddress) -> None:
    async with operating() as operator:
        operator.add(secret_of(broker, password="wrong-secret"), replicas=3)
        assert await operator.until(operator.unknown_because, "the queue is unknown") == "AccessRefused"
        assert "wrong-secret" not in str(operator.status)
        assert operator.replicas == 3
        operator.cluster.secrets[SECRET] = secret_of(broker)
        await operator.until(lambda: operator.unknown_because() == "NoLeader", "the new password is used")


async def test_host_name_gone(broker: BrokerAddress) -> None:
    async with operating() as operator:
        operator.add(secret_of(broker, host="no-such-host.invalid"), replicas=3)
        assert await operator.until(operator.unknown_because, "the queue is unknown") == "Unavailable"
        assert "no-such-host.invalid" in operator.condition("QueueObserved")["message"]
        assert operator.replicas == 3


async def test_secret_gone_or_incomplete(broker: BrokerAddress) -> None:
    async with operating() as operator:
        operator.add({"username": "only"}, replicas=3)
        assert await operator.until(operator.unknown_because, "the queue is unknown") == "InvalidAddress"
        message = operator.condition("QueueObserved")["message"]
        assert "Secret rabbitmq (spec.broker.secretName)" in message
        assert "key uri" in message
        del operator.cluster.secrets[SECRET]
        await operator.until(
            lambda: "there is no Secret rabbitmq" in str(operator.status), "it says that none is there"
        )
        assert operator.replicas == 3
        operator.cluster.secrets[SECRET] = secret_of(broker)
        await operator.until(lambda: operator.unknown_because() == "NoLeader", "the Secret is used")


async def test_answers_slower_than_the_poll_period(own_rabbitmq: RabbitMQServer) -> None:
    """A process that is stopped answers nothing and closes nothing."""
    async with operating() as operator:
        operator.add(secret_of(own_rabbitmq.address()))
        await operator.until(operator.observed, "the queue is read")
        send(own_rabbitmq.address(), 20)
        await operator.until(lambda: operator.replicas == 4, "four workers run")
        own_rabbitmq.freeze()
        try:
            assert await operator.until(operator.unknown_because, "the queue is unknown") == "Unavailable"
            assert operator.replicas == 4
        finally:
            own_rabbitmq.thaw()
        await operator.until(operator.observed, "the queue is read again", seconds=60)


async def test_management_api_away_while_amqp_works(own_rabbitmq: RabbitMQServer) -> None:
    """drainSeconds falls back to messagesPerReplica and says why."""
    async with operating() as operator:
        operator.add(
            secret_of(own_rabbitmq.address(), management_uri="http://127.0.0.1:1"), scaling={"drainSeconds": 60}
        )
        await operator.until(operator.observed, "the queue is read")
        send(own_rabbitmq.address(), 20)
        await operator.until(lambda: operator.replicas == 4, "four workers run")
        message = operator.status["recentDecisions"][0]["message"]
        assert "no rates known for drainSeconds" in message
        assert "http://127.0.0.1:1" in message


async def test_amqp_away_while_the_management_api_works(own_rabbitmq: RabbitMQServer) -> None:
    """Its counts are seconds old and no reading: the workers are held."""
    async with operating() as operator:
        operator.add(
            secret_of(own_rabbitmq.address(), port="1", management_uri=own_rabbitmq.management_uri), replicas=3
        )
        assert await operator.until(operator.unknown_because, "the queue is unknown") == "Unavailable"
        assert operator.replicas == 3


async def test_a_queue_of_another_type(broker: BrokerAddress) -> None:
    async with operating() as operator:
        send(broker, 20, declare=True)
        operator.add(secret_of(broker), replicas=1, queue={"name": "jobs", "type": "Classic"})
        assert await operator.until(operator.unknown_because, "the queue is unknown") == "QueueMismatch"
        assert "set the queue's type to what is there" in operator.condition("QueueObserved")["message"]
        assert operator.replicas == 1
