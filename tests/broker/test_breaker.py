"""Tasks that only come back stop the growth of their workers; the first ack lets it go on."""

import asyncio
from collections.abc import Callable

from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, connect

from tests.support.operating import Operating, operating, secret_of

#: The management API's numbers are up to 5 s old, and asked for every 5 s.
SECONDS = 40


def publish(address: BrokerAddress, count: int) -> None:
    connection = connect(address, ConnectionSettings("test"))
    channel = connection.channel()
    channel.confirm_delivery()
    for _ in range(count):
        channel.basic_publish("", "jobs", b"task")
    connection.close()


def take(address: BrokerAddress, *, ack: bool) -> None:
    """Take a task as a worker does, and lose the connection; with or without the ack before."""
    connection = connect(address, ConnectionSettings("test"))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=1)
    for method, _, _ in channel.consume("jobs", inactivity_timeout=1.0):
        if method and ack:
            channel.basic_ack(method.delivery_tag)
        break
    connection.close()


async def take_until(address: BrokerAddress, operator: Operating, fact: Callable[[], bool], what: str) -> None:
    """Workers that are killed by each task, until the operator sees it."""
    deadline = asyncio.get_running_loop().time() + SECONDS
    while not fact():
        assert asyncio.get_running_loop().time() < deadline, f"not within {SECONDS} s: {what}; {operator.status}"
        await asyncio.to_thread(take, address, ack=False)


async def test_redeliveries_without_acks_trip_it_and_an_ack_ends_it(broker: BrokerAddress) -> None:
    async with operating() as operator:
        queue = {"name": "jobs", "deliveryLimit": 10_000}  # RabbitMQ must not take the task away before it is seen
        # The worker stays: a task that comes and goes would add and remove it, and fill the queue of Events.
        one = {"minReplicas": 1}
        operator.add(secret_of(broker, management_uri=str(broker.management_uri)), queue=queue, scaling=one)
        await operator.until(
            lambda: operator.condition("PolicyApplied").get("status") == "True", "the limit holds", seconds=SECONDS
        )
        await asyncio.to_thread(publish, broker, 1)
        await operator.until(lambda: operator.replicas == 1, "one worker runs")

        await take_until(
            broker,
            operator,
            lambda: operator.condition("WorkersHealthy").get("status") == "False",
            "the breaker trips",
        )
        assert "redeliveries and no ack among them" in operator.condition("WorkersHealthy")["message"]
        await operator.until(
            lambda: "WorkersFailing" in [event.reason for event in operator.cluster.events],
            "its Event",
            seconds=SECONDS,
        )

        await asyncio.to_thread(publish, broker, 29)
        await operator.until(
            lambda: operator.status["lastDecision"]["reason"] == "WorkersFailing", "more are wanted and none is started"
        )
        assert operator.replicas == 1

        await asyncio.to_thread(take, broker, ack=True)
        await operator.until(lambda: operator.replicas == 6, "growth goes on", seconds=SECONDS)
        await operator.until(
            lambda: operator.condition("WorkersHealthy").get("status") == "True", "the workers are well again"
        )
