"""Declaring queues beside the one that is consumed."""

from typing import Any

from pika import exceptions as amqp
from workqueue_broker.declaration import QueueDeclaration


def ensure_queue(connection: Any, queue: QueueDeclaration) -> None:
    """Declare a queue of which any type will do: an existing one of another type is left as it is.

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
