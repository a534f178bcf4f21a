"""Declaring and reading queues beside the one that is consumed."""

import contextlib
from typing import Any

from pika import exceptions as amqp
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, broker_errors, connect
from workqueue_broker.declaration import QueueCounts, QueueDeclaration, read_counts


def ensure_queue(connection: Any, queue: QueueDeclaration) -> None:
    """Declare a queue whose type is not ours to insist on: one that is there in another form is as good.

    `connection`: pika's BlockingConnection, or a Session.
    """
    channel = connection.channel()
    try:
        queue.declare(channel)
    except amqp.ChannelClosedByBroker as error:
        if error.reply_code != 406:
            raise
    else:
        channel.close()


def read_queue(address: BrokerAddress, connection_name: str, queue: QueueDeclaration, *, declared: bool) -> QueueCounts:
    """The live counts of a queue that is there, over a connection of its own; raises a BrokerError.

    `declared`: also raise QueueMismatch or AccessRefused when it cannot be declared as a worker would do.
    """
    connection = connect(address, ConnectionSettings(name=connection_name))
    try:
        with broker_errors(address):
            channel = connection.channel()
            counts = read_counts(channel, queue.name)
            return queue.declare(channel) if declared else counts
    finally:
        with contextlib.suppress(amqp.AMQPError, OSError):
            connection.close()
