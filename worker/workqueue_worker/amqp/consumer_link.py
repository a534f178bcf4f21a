"""A consuming connection: one connection, one channel, one consumer."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pika import exceptions as amqp
from workqueue_broker.address import BrokerAddress
from workqueue_broker.answering import ANSWER_SECONDS
from workqueue_broker.connection import ConnectionSettings, broker_errors, translate
from workqueue_broker.declaration import QueueDeclaration, QueueType, read_counts
from workqueue_broker.errors import BrokerUnavailable

from workqueue_worker.amqp.messages import delivery_of
from workqueue_worker.amqp.permissions import configure_permission, read_permission
from workqueue_worker.amqp.queues import ensure_queue
from workqueue_worker.amqp.session import Session
from workqueue_worker.delivery import Delivery

#: Seconds without a turn after which the connection may have gone unnoticed; a keeper turns it every half second.
QUIET_SECONDS = 1.0


@dataclass(frozen=True)
class ConsumePlan:
    """What a worker wants from the broker."""

    address: BrokerAddress
    connection_name: str
    queue: QueueDeclaration
    dead_letter_queue: QueueDeclaration
    #: False: the worker makes no queue.
    create: bool
    prefetch_count: int
    #: Called every few seconds while a step waits for the broker.
    alive: Callable[[], None] = lambda: None
    #: Seconds for the broker's answer to one step.
    answer_timeout: float = ANSWER_SECONDS


class ConsumerLink:
    """One connection with one consumer on it."""

    def __init__(self, plan: ConsumePlan, epoch: int, on_delivery: Callable[[Delivery], None]) -> None:
        """Connect, declare, consume; raises a BrokerError."""
        self.epoch = epoch
        self._address = plan.address
        self._on_delivery = on_delivery
        self._queue = plan.queue.name
        self._counted = plan.queue.type is QueueType.QUORUM
        self._cancelled_by_broker = False
        self._turned_at = time.monotonic()
        self._consumer_tag: str | None = None
        #: Read, and not yet handed over: turn() does that, so that nothing comes before the connection is known.
        self._arrived: list[tuple[Any, Any, bytes]] = []
        settings = ConnectionSettings(name=plan.connection_name, answer_timeout=plan.answer_timeout)
        self._session = Session(plan.address, settings, plan.alive)
        self._loop = self._session.loop
        try:
            with broker_errors(plan.address):
                self._start(plan)
        except BaseException:
            self.close()
            raise

    def _start(self, plan: ConsumePlan) -> None:
        if plan.create:
            with configure_permission(plan.dead_letter_queue.name), broker_errors(plan.address):
                ensure_queue(self._session, plan.dead_letter_queue)
        self._channel = self._session.channel()
        if plan.create:
            with configure_permission(plan.queue.name), broker_errors(plan.address):
                plan.queue.declare(self._channel)
        else:
            read_counts(self._channel, plan.queue.name)
        raw = self._channel.raw
        self._channel.call(raw.basic_qos, prefetch_count=plan.prefetch_count)
        raw.add_on_cancel_callback(self._on_cancel)
        self._consume()

    def _consume(self) -> None:
        with read_permission(self._queue), broker_errors(self._address):
            answer = self._channel.call(self._channel.raw.basic_consume, self._queue, self._on_message)
        self._consumer_tag = answer.method.consumer_tag

    @property
    def consuming(self) -> bool:
        """True while the broker may send messages."""
        return self._consumer_tag is not None

    def wait(self, seconds: float) -> None:
        """Return when there is something for turn(), after wake(), or when the time is over. Uses nothing of pika's."""
        if not self._arrived:
            self._loop.wait(seconds)

    def turn(self) -> None:
        """Let the connection do what it can do now, and hand over what came; raises BrokerError when it is lost."""
        self._raise_if_left_unnoticed()
        self._turned_at = time.monotonic()
        with broker_errors(self._address):
            self._loop.work()
            self._raise_if_closed()
        if self._cancelled_by_broker:
            # An ack on this channel could wake the broker's half-dead consumer (RabbitMQ 4.3): it must all be new.
            raise BrokerUnavailable("the broker cancelled the consumer: queue deleted or moved, or consumer timeout")
        self._hand_over()

    def ack(self, delivery: Delivery) -> None:
        """Settle as done; goes out with flush()."""
        self._settling().basic_ack(delivery.delivery_tag)

    def hand_back(self, delivery: Delivery) -> None:
        """Return it politely: since RabbitMQ 4.3 a nack is no failed attempt. Goes out with flush()."""
        self._settling().basic_nack(delivery.delivery_tag, requeue=True)

    def return_failed(self, delivery: Delivery) -> None:
        """Return it as failed: a reject is counted by every quorum queue. Goes out with flush()."""
        self._settling().basic_reject(delivery.delivery_tag, requeue=True)

    def flush(self) -> None:
        """Hand to the system, in one piece, what was settled."""
        self._raise_if_left_unnoticed()
        with broker_errors(self._address):
            self._session.connection.part()
            self._loop.write()
            self._raise_if_closed()

    def cancel(self) -> None:
        """Take no further messages."""
        if self._consumer_tag is None:
            return
        self.turn()  # what is here already is ours; pika would reject it
        tag, self._consumer_tag = self._consumer_tag, None
        with broker_errors(self._address):
            self._channel.call(self._channel.raw.basic_cancel, tag)

    def consume(self) -> None:
        """Take messages again, after cancel()."""
        self.turn()  # raises when the broker cancelled the consumer: then the connection must be a new one
        self._consume()

    def wake(self) -> None:
        """End another thread's wait() early; the one method for any thread."""
        self._loop.wake()

    def close(self) -> None:
        """Leave; when the connection is in order, the broker has read every ack when this returns."""
        with contextlib.suppress(amqp.AMQPError, OSError):  # it is gone already
            self._session.close()

    def _settling(self) -> Any:
        if self._channel.closed:
            raise translate(self._channel.closed, self._address)
        self._session.connection.join()
        return self._channel.raw

    def _raise_if_closed(self) -> None:
        if self._channel.closed:
            raise self._channel.closed

    def _raise_if_left_unnoticed(self) -> None:
        """A handler that held the GIL for long may have cost the connection, while writes to the socket succeed."""
        if time.monotonic() - self._turned_at > QUIET_SECONDS and self._loop.peer_is_gone():
            raise BrokerUnavailable("the broker has closed the connection")

    def _hand_over(self) -> None:
        arrived, self._arrived = self._arrived, []
        for method, properties, body in arrived:
            self._on_delivery(delivery_of(method, properties, body, epoch=self.epoch, counted=self._counted))

    def _on_cancel(self, _method: object) -> None:
        self._cancelled_by_broker = True
        self._consumer_tag = None

    def _on_message(self, _channel: object, method: Any, properties: Any, body: bytes) -> None:
        self._arrived.append((method, properties, body))
