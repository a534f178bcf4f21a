"""Everything that is pika's: a consuming connection, a publishing one, and their messages as values. The only importer.

pika's exceptions leave this module as the errors of workqueue_broker. None of it is thread-safe, but for wake().
"""

import contextlib
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pika
from pika import exceptions as amqp
from workqueue_broker import headers as header
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, broker_errors, connect
from workqueue_broker.declaration import QueueDeclaration, read_counts
from workqueue_broker.errors import BrokerError, BrokerUnavailable, QueueMissing

from workqueue_worker.delivery import Delivery

#: Headers that must not go into a copy: the broker's own counts of the other copy, and extra routing keys.
_NOT_COPIED = frozenset({"x-delivery-count", "x-acquired-count", "CC", "BCC"})


class CopyRefused(BrokerError):
    """The broker says no to a copy: the queue is full, or has no majority."""

    kind = "copy_refused"


@dataclass(frozen=True)
class ConsumePlan:
    """What a worker wants from the broker."""

    address: BrokerAddress
    connection_name: str
    queue: QueueDeclaration
    dead_letter_queue: QueueDeclaration
    #: False: the queues are made by somebody else.
    create: bool
    prefetch_count: int


class ConsumerLink:
    """One connection with one consumer on it."""

    def __init__(self, plan: ConsumePlan, epoch: int, on_delivery: Callable[[Delivery], None]) -> None:
        """Connect, declare, consume; raises a BrokerError."""
        self.epoch = epoch
        self._address = plan.address
        self._on_delivery = on_delivery
        self._cancelled_by_broker = False
        self._consumer_tag: str | None = None
        self._connection = connect(plan.address, ConnectionSettings(name=plan.connection_name))
        try:
            with broker_errors(plan.address):
                self._start(plan)
        except BaseException:
            self.close()
            raise

    def _start(self, plan: ConsumePlan) -> None:
        if plan.create:
            ensure_queue(self._connection, plan.dead_letter_queue)
        self._channel = self._connection.channel()
        if plan.create:
            plan.queue.declare(self._channel)
        else:
            read_counts(self._channel, plan.queue.name)
        self._channel.basic_qos(prefetch_count=plan.prefetch_count)
        self._channel.add_on_cancel_callback(self._on_cancel)
        self._consumer_tag = self._channel.basic_consume(plan.queue.name, self._on_message)

    @property
    def consuming(self) -> bool:
        """True while the broker may send messages."""
        return self._consumer_tag is not None

    def turn(self, seconds: float) -> None:
        """Let the connection work until something happened or the time is over; raises BrokerError when it is lost."""
        with broker_errors(self._address):
            self._connection.process_data_events(time_limit=seconds)
            if not self._channel.is_open:  # process_data_events keeps silent about a closed channel
                raise self._channel._closing_reason or amqp.ChannelWrongStateError("the channel is closed")
        if self._cancelled_by_broker:
            # An ack on this channel could wake the broker's half-dead consumer (RabbitMQ 4.3): it must all be new.
            raise BrokerUnavailable("the broker cancelled the consumer: queue deleted or moved, or consumer timeout")

    def ack(self, delivery: Delivery) -> None:
        """Settle as done; the bytes are out when this returns."""
        with broker_errors(self._address):
            self._channel.basic_ack(delivery.delivery_tag)

    def hand_back(self, delivery: Delivery) -> None:
        """Return it politely: since RabbitMQ 4.3 a nack is no failed attempt."""
        with broker_errors(self._address):
            self._channel.basic_nack(delivery.delivery_tag, requeue=True)

    def return_failed(self, delivery: Delivery) -> None:
        """Return it as failed: a reject is counted by every quorum queue."""
        with broker_errors(self._address):
            self._channel.basic_reject(delivery.delivery_tag, requeue=True)

    def cancel(self) -> None:
        """Take no further messages."""
        if self._consumer_tag is None:
            return
        with broker_errors(self._address):
            self._connection.process_data_events(0)  # what is here already is ours; pika would reject it
            tag, self._consumer_tag = self._consumer_tag, None
            self._channel.basic_cancel(tag)

    def wake(self) -> None:
        """End another thread's turn() early; the one method for any thread."""
        with contextlib.suppress(amqp.ConnectionWrongStateError):  # a closed connection turns no more
            self._connection.add_callback_threadsafe(lambda: None)

    def close(self) -> None:
        """Leave; when the connection is in order, the broker has read every ack when this returns."""
        with contextlib.suppress(amqp.AMQPError, OSError):  # it is gone already
            self._connection.close()

    def _on_cancel(self, _method: object) -> None:
        self._cancelled_by_broker = True
        self._consumer_tag = None

    def _on_message(self, _channel: object, method: Any, properties: Any, body: bytes) -> None:
        self._on_delivery(_delivery(self.epoch, method, properties, body))


class CopyLink:
    """One connection that publishes confirmed copies, one at a time."""

    def __init__(self, address: BrokerAddress, name: str) -> None:
        self._address = address
        self._connection = connect(address, ConnectionSettings(name=name))
        with broker_errors(address):
            self._channel = self._connection.channel()
            self._channel.confirm_delivery()

    def ensure(self, queue: QueueDeclaration) -> None:
        """Make the queue when it is missing."""
        with broker_errors(self._address):
            ensure_queue(self._connection, queue)

    def publish(self, queue: str, delivery: Delivery, headers: Mapping[str, object]) -> None:
        """Publish a persistent copy, wait for its confirm; raises QueueMissing, CopyRefused, BrokerError."""
        with broker_errors(self._address):
            try:
                self._channel.basic_publish(
                    "", queue, delivery.body, _copied_properties(delivery.properties, headers), mandatory=True
                )
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


def ensure_queue(connection: pika.BlockingConnection, queue: QueueDeclaration) -> None:
    """Declare a queue whose type is not ours to insist on: one that is there in another form is as good."""
    channel = connection.channel()
    try:
        queue.declare(channel)
    except amqp.ChannelClosedByBroker as error:
        if error.reply_code != 406:
            raise
    else:
        channel.close()


def _copied_properties(original: object, headers: Mapping[str, object]) -> pika.BasicProperties:
    properties = copy.copy(original) if original is not None else pika.BasicProperties()
    assert isinstance(properties, pika.BasicProperties)  # noqa: S101 - for the type checker
    kept = {name: value for name, value in (properties.headers or {}).items() if name not in _NOT_COPIED}
    properties.headers = {**kept, **headers}
    properties.delivery_mode = pika.DeliveryMode.Persistent.value
    properties.user_id = None  # the broker refuses a copy in another user's name
    return properties


def _delivery(epoch: int, method: Any, properties: Any, body: bytes) -> Delivery:
    headers = properties.headers or {}
    return Delivery(
        epoch=epoch,
        delivery_tag=method.delivery_tag,
        redelivered=method.redelivered,
        body=body,
        headers=headers,
        message_id=properties.message_id,
        content_type=properties.content_type,
        enqueued_time=_enqueued_time(headers, properties.timestamp),
        properties=properties,
    )


def _enqueued_time(headers: Mapping[str, object], timestamp: object) -> float | None:
    published_ms = headers.get(header.PUBLISHED_MS)
    if isinstance(published_ms, int):
        return published_ms / 1000
    return float(timestamp) if isinstance(timestamp, int) else None
