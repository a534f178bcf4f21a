"""The one declaration of a work queue. Producer, worker and operator must use it, or the broker answers 406.

It stays as plain as tutorial two: durable, and for a quorum queue its type; limits come by policy.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from workqueue_broker.names import checked_name

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel


class QueueType(StrEnum):
    """The values of `spec.queue.type`."""

    QUORUM = "Quorum"
    CLASSIC = "Classic"


class Declare(StrEnum):
    """What happens to a queue that is missing: the values of `spec.queue.declare`, QUEUE_DECLARE and --declare."""

    CREATE = "Create"
    NEVER = "Never"


@dataclass(frozen=True)
class QueueCounts:
    """What a declaration answers, live from the queue's leader."""

    #: Messages waiting for a consumer.
    messages_ready: int
    #: Consumers that take from the queue.
    consumers: int


@dataclass(frozen=True)
class QueueDeclaration:
    """A durable queue: its name and its type; raises InvalidName."""

    name: str
    type: QueueType = QueueType.QUORUM

    def __post_init__(self) -> None:
        checked_name(self.name)

    @property
    def arguments(self) -> dict[str, str]:
        """The arguments of queue.declare: none for Classic, so that the first tutorial's programs fit too."""
        return {} if self.type is QueueType.CLASSIC else {"x-queue-type": "quorum"}

    def declare(self, channel: "BlockingChannel") -> QueueCounts:
        """Create the queue, or confirm that it is as we declare it; else pika's ChannelClosedByBroker (406)."""
        return _counts(channel.queue_declare(self.name, durable=True, arguments=self.arguments))


def read_counts(channel: "BlockingChannel", name: str) -> QueueCounts:
    """Passive declare: the live counts; raises pika's ChannelClosedByBroker (404) when there is no such queue.

    A quorum queue without a leader answers 0 and 0 (RabbitMQ rabbit_quorum_queue.erl stat/2).
    """
    return _counts(channel.queue_declare(name, passive=True))


def _counts(declare_ok: Any) -> QueueCounts:
    method = declare_ok.method
    return QueueCounts(messages_ready=method.message_count, consumers=method.consumer_count)
