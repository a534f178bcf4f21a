"""A publishing connection for copies of tasks: persistent, mandatory, confirmed one by one."""

import contextlib

from pika import exceptions as amqp
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, broker_errors, connect
from workqueue_broker.declaration import QueueDeclaration
from workqueue_broker.errors import BrokerError, QueueMissing

from workqueue_worker.amqp.messages import properties_of
from workqueue_worker.amqp.permissions import configure_permission, write_permission
from workqueue_worker.amqp.queues import ensure_queue
from workqueue_worker.delivery import Delivery
from workqueue_worker.task_copy import Copy


class CopyRefused(BrokerError):
    """The broker refuses a copy: the queue is full, or has no majority."""

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
        with configure_permission(queue.name), broker_errors(self._address):
            ensure_queue(self._connection, queue)

    def publish(self, copy: Copy, delivery: Delivery) -> None:
        """Publish a persistent copy, wait for its confirm; raises QueueMissing, CopyRefused or another BrokerError.

        MessageRefused: the broker does not take this copy for what it is. NotSendable: it would not, so nothing was
        sent.
        """
        queue = copy.queue
        properties = properties_of(copy, delivery.properties, self._connection._impl.params.frame_max)
        with write_permission(), broker_errors(self._address, publishing=True):
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
