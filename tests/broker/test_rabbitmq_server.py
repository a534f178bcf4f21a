"""The test broker itself: what the other tests build on."""

import socket
from pathlib import Path

import pika
import pytest
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, connect
from workqueue_broker.declaration import QueueDeclaration, QueueType

from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.waiting import wait_until

SETTINGS = ConnectionSettings(name="test")


@pytest.mark.parametrize("queue_type", list(QueueType))
def test_counts_show_ready_and_unacknowledged(
    rabbitmq: RabbitMQServer, broker: BrokerAddress, queue_type: QueueType
) -> None:
    with connect(broker, SETTINGS) as connection:
        channel = connection.channel()
        QueueDeclaration("q", queue_type).declare(channel)
        channel.confirm_delivery()
        for _ in range(3):
            channel.basic_publish("", "q", b"x")
        wait_until(lambda: channel.basic_get("q")[0], 5, "a message to take")
        assert rabbitmq.counts(broker.virtual_host, "q") == (2, 1)


def test_a_missing_queue_has_no_counts_which_is_not_an_empty_queue(
    rabbitmq: RabbitMQServer, broker: BrokerAddress
) -> None:
    with pytest.raises(LookupError, match="there is no queue q in virtual host"):
        rabbitmq.counts(broker.virtual_host, "q")


def test_runs_the_version_that_was_asked_for(rabbitmq: RabbitMQServer, rabbitmq_version: str) -> None:
    assert rabbitmq.release.startswith(rabbitmq_version + ".")


def test_data_survive_a_crash_and_alarms_can_be_raised(own_rabbitmq: RabbitMQServer) -> None:
    with connect(own_rabbitmq.address(), SETTINGS) as connection:
        channel = connection.channel()
        QueueDeclaration("q").declare(channel)
        channel.confirm_delivery()
        channel.basic_publish("", "q", b"x", pika.BasicProperties(delivery_mode=2))
    own_rabbitmq.kill()
    assert not own_rabbitmq.is_running
    own_rabbitmq.start()
    wait_until(lambda: own_rabbitmq.counts(own_rabbitmq.default_vhost, "q") == (1, 0), 30, "the message is there")
    own_rabbitmq.set_memory_alarm(True)
    own_rabbitmq.set_memory_alarm(False)


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("port", ["amqp_port", "management_port", "_distribution_port", "_epmd_port"])
def test_a_broker_whose_port_another_program_takes_starts_on_others(
    rabbitmq_version: str, tmp_path: Path, port: str
) -> None:
    server = RabbitMQServer(tmp_path, rabbitmq_version)
    try:
        with socket.create_server(("127.0.0.1", getattr(server, port))) as other:
            server.start()
            assert getattr(server, port) != other.getsockname()[1]
            assert server.evaluate("rabbit_misc:version()").strip('"').startswith(rabbitmq_version + ".")
    finally:
        server.close()
