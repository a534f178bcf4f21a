"""What an application sends, and the same on its way: a task becomes a message with an id that survives a resend."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Task:
    """One task."""

    body: bytes
    #: Stays the same over resends; None: the publisher makes one.
    message_id: str | None = None
    #: Sent beside the body, for example `traceparent`.
    headers: Mapping[str, Any] = field(default_factory=dict)


class Receipt(Protocol):
    """Who is told, by the publisher's I/O thread, what became of a message."""

    def settle(self, message: "Message", error: Exception | None) -> None:
        """Once per message: confirmed when there is no error."""


class Message:
    """A task between publish and confirm; no dataclass, as a bulk publish makes tens of thousands a second."""

    __slots__ = ("abandoned", "body", "headers", "message_id", "properties", "published_at", "receipt", "returned")

    def __init__(self, task: Task, message_id: str, properties: object, receipt: Receipt, published_at: float) -> None:
        self.body = task.body
        self.headers = task.headers
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

    @property
    def task(self) -> Task:
        """The task, with its id."""
        return Task(self.body, self.message_id, self.headers)
