"""A publishing connection for copies of tasks: persistent, mandatory, confirmed one by one."""

import contextlib

from pika import exceptions as amqp
from workqueue_broker import headers as header
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, broker_errors, connect
from workqueue_broker.declaration import QueueDeclaration
from workqueue_broker.errors import BrokerError, QueueMissing

from workqueue_worker.amqp.declaring import ensure_queue
from workqueue_worker.amqp.messages import copied_properties
from workqueue_worker.delivery import Delivery
from workqueue_worker.task_copy import Copy


class CopyRefused(BrokerError):
    """The broker says no to a copy: the queue is full, or has no majority."""

    kind = "copy_refused"


class CopyLink:
    """One connection that publishes confirmed copies, one at a time."""

    def __init__(self, address: BrokerAddress, name: str) -> None:
        self._address = address
        self._connection = connect(address, ConnectionSettings(name=name))
        try:
            with broker_errors(address):
                self._channel = self._connection.channel()
                self._channel.confirm_delivery()
        except BrokerError:
            self.close()
            raise

    def ensure(self, queue: QueueDeclaration) -> None:
        """Make the queue when it is missing."""
        with broker_errors(self._address):
            ensure_queue(self._connection, queue)

    def publish(self, copy: Copy, delivery: Delivery) -> None:
        """Publish a persistent copy, wait for its confirm; raises QueueMissing, CopyRefused, BrokerError."""
        queue = copy.queue
        properties = copied_properties(delivery.properties, copy.headers, header.OF_THE_WORKER, expires=copy.expires)
        with broker_errors(self._address):
            try:
                self._channel.basic_publish("", queue, delivery.body, properties, mandatory=True)
            except amqp.UnroutableError as error:
                raise QueueMissing(f"there is no queue {queue!r} for the copy of a task: create it") from error
            except amqp.NackError as error:
                raise CopyRefused(
                    f"queue {queue!r} refuses the copy of a task: it is full, or lacks a majority"
                ) from error

    def close(self) -> None:
        """Leave, in whatever state it is."""
        with contextlib.suppress(amqp.AMQPError, OSError):  # it is gone already
            self._connection.close()
