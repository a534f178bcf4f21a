"""What RabbitMQ does with the names that our rule takes and refuses (workqueue_broker.names)."""

import pika
import pytest
from pika import exceptions as amqp
from workqueue_broker.names import InvalidName, checked_name

from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.waiting import wait_until

TAKEN = ["q", "amq", "AMQ.x", "a b", "größe", "鸡", "q" * 255, "ü" * 127]
#: RabbitMQ declares `orders`, for whatever of these it is asked.
CHANGED = ["orders\n", "orders\r\n", "or\nders"]


def declared(server: RabbitMQServer, vhost: str) -> set[str]:
    return {queue["name"] for queue in server.management("GET", f"/api/queues/{vhost}")}


def declare_without_waiting(server: RabbitMQServer, vhost: str, name: str) -> None:
    """pika waits for an answer with the name as sent, which may never come."""
    connection = pika.BlockingConnection(pika.URLParameters(server.uri(vhost)))
    channel = connection.channel()
    channel._impl._send_method(pika.spec.Queue.Declare(queue=name, durable=True))
    connection.close()


def test_the_broker_declares_what_the_rule_takes_under_exactly_that_name(rabbitmq: RabbitMQServer) -> None:
    vhost = rabbitmq.new_vhost()
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq.uri(vhost)))
    for name in TAKEN:
        assert connection.channel().queue_declare(checked_name(name), durable=True).method.queue == name
    connection.close()
    assert declared(rabbitmq, vhost) == set(TAKEN)


@pytest.mark.parametrize("name", CHANGED)
def test_the_broker_makes_another_queue_for_a_name_with_a_line_end(rabbitmq: RabbitMQServer, name: str) -> None:
    with pytest.raises(InvalidName):
        checked_name(name)
    vhost = rabbitmq.new_vhost()
    declare_without_waiting(rabbitmq, vhost, name)
    wait_until(lambda: declared(rabbitmq, vhost) == {"orders"}, 10, "the broker has made orders")


def test_the_broker_refuses_the_reserved_prefix(rabbitmq: RabbitMQServer) -> None:
    with pytest.raises(InvalidName):
        checked_name("amq.x")
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq.uri(rabbitmq.new_vhost())))
    with pytest.raises(amqp.ChannelClosedByBroker) as raised:
        connection.channel().queue_declare("amq.x", durable=True)
    connection.close()
    assert raised.value.reply_code == 403
