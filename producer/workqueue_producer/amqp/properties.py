"""What a message carries beside its body: persistent, an id, when it was published, the application's headers.

Encoded once, in the caller's thread: a resend costs nothing, and headers that AMQP cannot carry fail their caller only.
"""

import struct
import time

import pika
from workqueue_broker import headers as header

from workqueue_producer.task import EXPIRATION_MS_MAX, PRIORITY_MAX, SHORT_TEXT_BYTES, Task

_PERSISTENT = pika.DeliveryMode.Persistent.value


class EncodedProperties(pika.BasicProperties):  # type: ignore[misc] # pika has no type hints
    """Properties that are bytes already; the library asks them for nothing else when it publishes."""

    def __init__(self, encoded: bytes) -> None:  # without the library's own: it sets 14 fields that are never read
        self._encoded = encoded

    def encode(self) -> list[bytes]:
        return [self._encoded]


def message_properties(given: bytes | Task, message_id: str) -> EncodedProperties:
    """Properties for a body or task published now; raises ValueError that names the field AMQP cannot carry."""
    published_ms = int(time.time() * 1000)
    encoded_id = message_id.encode()
    if len(encoded_id) > SHORT_TEXT_BYTES:
        raise ValueError(f"message_id: AMQP cannot carry more than {SHORT_TEXT_BYTES} bytes")
    if isinstance(given, bytes) or _is_plain(given):
        return EncodedProperties(_encode_plain(encoded_id, published_ms))
    return EncodedProperties(_encode(given, message_id, published_ms))


def _is_plain(task: Task) -> bool:
    """Only a body."""
    return (
        not task.headers
        and task.content_type is None
        and task.priority is None
        and task.expiration_ms is None
        and task.correlation_id is None
        and task.type is None
    )


def _encode(task: Task, message_id: str, published_ms: int) -> bytes:
    properties = pika.BasicProperties(
        delivery_mode=_PERSISTENT,
        message_id=message_id,
        timestamp=published_ms // 1000,
        headers={header.PUBLISHED_MS: published_ms, **task.headers},
        content_type=_short_text("content_type", task.content_type),
        priority=_number("priority", task.priority, PRIORITY_MAX),
        expiration=_expiration(task.expiration_ms),
        correlation_id=_short_text("correlation_id", task.correlation_id),
        type=_short_text("type", task.type),
    )
    try:
        return b"".join(properties.encode())
    except (pika.exceptions.AMQPError, AssertionError, AttributeError, UnicodeEncodeError, struct.error) as error:
        raise ValueError(f"headers: AMQP cannot carry them: {error}") from error


def _expiration(milliseconds: int | None) -> str | None:
    """AMQP's text for it."""
    number = _number("expiration_ms", milliseconds, EXPIRATION_MS_MAX)
    return None if number is None else str(number)


def _number(name: str, value: int | None, at_most: int) -> int | None:
    if value is None or (type(value) is int and 0 <= value <= at_most):
        return value
    raise ValueError(f"{name} must be a whole number from 0 to {at_most}, not {value!r}")


def _short_text(name: str, value: str | None) -> str | None:
    if value is None or (isinstance(value, str) and len(value.encode()) <= SHORT_TEXT_BYTES):
        return value
    raise ValueError(f"{name} must be a text of at most {SHORT_TEXT_BYTES} bytes; AMQP cannot carry more")


# A message without headers of its own is always the same but for three fields (AMQP 0-9-1, 4.2.6.1 and 4.2.5.5): the
# library takes 4 us to encode it, as long as everything else it does for a message.
_FLAGS = (
    pika.BasicProperties.FLAG_HEADERS
    | pika.BasicProperties.FLAG_DELIVERY_MODE
    | pika.BasicProperties.FLAG_MESSAGE_ID
    | pika.BasicProperties.FLAG_TIMESTAMP
)
_NAME = header.PUBLISHED_MS.encode()
#: The flags, the table's length, its one name, the type of its value.
_START = struct.pack(f">HIB{len(_NAME)}sc", _FLAGS, len(_NAME) + 10, len(_NAME), _NAME, b"l")
_MIDDLE = struct.Struct(">qBB")
_END = struct.Struct(">Q")


def _encode_plain(message_id: bytes, published_ms: int) -> bytes:
    middle = _MIDDLE.pack(published_ms, _PERSISTENT, len(message_id))
    return b"".join((_START, middle, message_id, _END.pack(published_ms // 1000)))
