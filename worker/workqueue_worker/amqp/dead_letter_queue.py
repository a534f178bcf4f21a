"""A connection to a dead-letter queue: takes its tasks, replays, removes or puts them back."""

import contextlib
from collections.abc import Mapping

from pika import exceptions as amqp
from workqueue_broker import headers as header
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, broker_errors
from workqueue_broker.declaration import read_counts
from workqueue_broker.errors import QueueMissing

from workqueue_worker.amqp.copy_link import CopyRefused
from workqueue_worker.amqp.header_frames import connect_reading
from workqueue_worker.amqp.messages import copied_properties, delivery_of
from workqueue_worker.delivery import Delivery

#: What the broker adds when it dead-letters a message by policy.
_OF_THE_BROKER = (
    "x-death",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
)

_SHOWN = (
    *("content_type", "content_encoding", "correlation_id", "reply_to", "type", "app_id", "user_id", "cluster_id"),
    *("timestamp", "expiration", "priority", "delivery_mode"),
)


class DeadLetterQueue:
    """A connection for looking after one dead-letter queue."""

    def __init__(self, address: BrokerAddress, name: str, queue: str) -> None:
        """Connect; raises a BrokerError, QueueMissing when no task was dead-lettered yet."""
        self._address = address
        self._queue = queue
        self._connection = connect_reading(address, ConnectionSettings(name=name))
        try:
            with broker_errors(address):
                self._channel = self._connection.channel()
                self._channel.confirm_delivery()
            #: How many are waiting now.
            self.count = self._count()
        except BaseException:
            self.close()
            raise

    def _count(self) -> int:
        with broker_errors(self._address):
            count = read_counts(self._channel, self._queue).messages_ready
        if count == 0 and self.take():
            # A quorum queue without a leader answers 0, but a consumer that takes from it waits until there is one. Or
            # the task came back just now from a consumer that had it in hand.
            with broker_errors(self._address):
                count = 1 + read_counts(self._channel, self._queue).messages_ready
            self.put_back()
        return count

    def take(self) -> Delivery | None:
        """The next one, in hand until it is settled; None when there is none."""
        with broker_errors(self._address):
            method, properties, body = self._channel.basic_get(self._queue)
        return delivery_of(method, properties, body or b"") if method else None

    def properties(self, delivery: Delivery) -> Mapping[str, object]:
        """Those that it has, without headers and message_id."""
        values = {name: getattr(delivery.properties, name) for name in _SHOWN}
        return {name: value for name, value in values.items() if value is not None}

    def publish(self, delivery: Delivery, queue: str, *, as_new: bool) -> None:
        """Publish a copy, confirmed. `as_new`: without the headers of workers and broker, so attempts start at one."""
        without = (*header.OF_THE_WORKER, *_OF_THE_BROKER) if as_new else ()
        with broker_errors(self._address):
            try:
                properties = copied_properties(delivery.properties, {}, without)
                self._channel.basic_publish("", queue, delivery.body, properties, mandatory=True)
            except amqp.UnroutableError as error:
                raise QueueMissing(f"there is no queue {queue!r} to replay to: create it") from error
            except amqp.NackError as error:
                raise CopyRefused(f"queue {queue!r} refuses the copy of a task: full, or without a majority") from error

    def remove(self, delivery: Delivery) -> None:
        """Take it out of the queue for good."""
        with broker_errors(self._address):
            self._channel.basic_ack(delivery.delivery_tag)

    def renew(self, delivery: Delivery) -> None:
        """Replace it by a copy of itself that was never returned. The copy goes to the end of the queue."""
        self.publish(delivery, self._queue, as_new=False)
        self.remove(delivery)

    def put_back(self) -> None:
        """Return everything in hand to its place."""
        with broker_errors(self._address):
            self._channel.basic_nack(0, multiple=True, requeue=True)  # 0: all of the channel

    def close(self) -> None:
        """Leave; what is in hand returns to the queue."""
        with contextlib.suppress(amqp.AMQPError, OSError):
            self._connection.close()
