"""What an application sends, and the same on its way: a task becomes a message with an id that survives a resend."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

#: The most that a broker takes: one byte, and RabbitMQ's longest timer (rabbit_misc:check_expiry/1).
PRIORITY_MAX, EXPIRATION_MS_MAX = 255, 2**32 - 1
#: Bytes of a short string of AMQP 0-9-1, which names and all properties that are texts are.
SHORT_TEXT_BYTES = 255


@dataclass(frozen=True, slots=True)
class Task:
    """One task."""

    body: bytes
    #: Stays the same over resends; None: the publisher makes one.
    message_id: str | None = None
    #: Sent beside the body, for example `traceparent`.
    headers: Mapping[str, Any] = field(default_factory=dict)
    #: A MIME type, for example application/json.
    content_type: str | None = None
    #: 0 to 255; means something in a queue that has priorities.
    priority: int | None = None
    #: Milliseconds after which the broker drops or dead-letters the task when no worker has taken it.
    expiration_ms: int | None = None
    correlation_id: str | None = None
    #: AMQP's name for what kind of message it is.
    type: str | None = None


#: The fields of a Task that are AMQP properties and that a task may leave out.
PROPERTIES = ("content_type", "priority", "expiration_ms", "correlation_id", "type")


class Receipt(Protocol):
    """What the publisher's I/O thread calls when a message is settled."""

    #: True when a caller waits and gets the error; else the log must have it.
    waited_for: bool

    def settle(self, message: "Message", error: Exception | None) -> None:
        """Once per message: confirmed when there is no error."""


class Message:
    """A task between publish and confirm; no dataclass, as a bulk publish makes tens of thousands a second."""

    __slots__ = (
        "_given",
        "abandoned",
        "body",
        "message_id",
        "properties",
        "published_at",
        "receipt",
        "returned",
        "unsettled",
    )

    def __init__(
        self, given: bytes | Task, message_id: str, properties: object, receipt: Receipt, published_at: float
    ) -> None:
        self._given = given
        self.body = given if isinstance(given, bytes) else given.body
        self.message_id = message_id
        #: The library's encoding of everything beside the body.
        self.properties = properties
        self.receipt = receipt
        #: Seconds on the monotonic clock.
        self.published_at = published_at
        #: Its caller gave up: it is not sent again.
        self.abandoned = False
        #: The broker found no queue for it.
        self.returned = False
        #: The outbox has taken it in, and it is neither confirmed nor failed.
        self.unsettled = False

    @property
    def task(self) -> Task:
        """The task, with its id."""
        given = self._given if isinstance(self._given, Task) else Task(self._given)
        return replace(given, message_id=self.message_id)
