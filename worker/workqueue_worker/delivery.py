"""One message as this worker received it: a value, parsed once at the border to AMQP."""

from collections.abc import Mapping
from typing import NamedTuple


class Described(NamedTuple):
    """The message's other properties, beside its id, time and content type; None where the producer set none."""

    content_encoding: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    type: str | None = None
    app_id: str | None = None
    user_id: str | None = None
    #: Milliseconds, as text: so AMQP has it.
    expiration: str | None = None
    priority: int | None = None


class Delivery(NamedTuple):  # made for every task, at a third of what a frozen dataclass costs
    """A message, and what is needed to settle it."""

    #: The connection it came over, counted from 1; a settlement over another one would hit a foreign message.
    epoch: int
    #: The channel's number for it; valid in its epoch only.
    delivery_tag: int
    redelivered: bool
    body: bytes
    headers: Mapping[str, object]
    message_id: str | None
    content_type: str | None
    #: Unix time in seconds; None when the producer set none.
    enqueued_time: float | None
    #: The library's own properties, passed on to copies untouched.
    properties: object
    #: What of the headers cannot be read, in bytes.
    unread_headers: bytes = b""
    described: Described = Described()

    @property
    def readable(self) -> bool:
        """True when all of the headers could be read."""
        return not self.unread_headers
