"""A consuming connection: one connection, one channel, one consumer."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pika import exceptions as amqp
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, broker_errors
from workqueue_broker.declaration import QueueDeclaration, QueueType, read_counts
from workqueue_broker.errors import BrokerUnavailable

from workqueue_worker.amqp.declaring import ensure_queue
from workqueue_worker.amqp.messages import delivery_of
from workqueue_worker.amqp.reading import connect_reading
from workqueue_worker.delivery import Delivery


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
        self._counted = plan.queue.type is QueueType.QUORUM
        self._cancelled_by_broker = False
        self._consumer_tag: str | None = None
        self._connection = connect_reading(plan.address, ConnectionSettings(name=plan.connection_name))
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
        self._on_delivery(delivery_of(method, properties, body, epoch=self.epoch, counted=self._counted))
