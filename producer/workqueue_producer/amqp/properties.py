"""What a message carries beside its body: persistent, an id, when it was published, the application's headers.

Encoded once, in the caller's thread: a resend costs nothing, and headers that AMQP cannot carry fail their caller only.
"""

import struct
import time
from collections.abc import Mapping
from typing import Any

import pika
from workqueue_broker import headers as header

_PERSISTENT = pika.DeliveryMode.Persistent.value


class EncodedProperties(pika.BasicProperties):  # type: ignore[misc] # pika has no type hints
    """Properties that are bytes already; the library asks them for nothing else when it publishes."""

    def __init__(self, encoded: bytes) -> None:  # without the library's own: it sets 14 fields that nobody reads
        self._encoded = encoded

    def encode(self) -> list[bytes]:
        return [self._encoded]


def message_properties(message_id: str, headers: Mapping[str, Any]) -> EncodedProperties:
    """Properties for a message published now; raises ValueError for headers or an id that AMQP cannot carry."""
    published_ms = int(time.time() * 1000)
    encoded_id = message_id.encode()
    if not headers and len(encoded_id) < 256:
        return EncodedProperties(_encode_plain(encoded_id, published_ms))
    return EncodedProperties(_encode(message_id, {header.PUBLISHED_MS: published_ms, **headers}, published_ms))


def _encode(message_id: str, headers: Mapping[str, Any], published_ms: int) -> bytes:
    properties = pika.BasicProperties(
        delivery_mode=_PERSISTENT, message_id=message_id, timestamp=published_ms // 1000, headers=dict(headers)
    )
    try:
        return b"".join(properties.encode())
    except (pika.exceptions.AMQPError, AssertionError, AttributeError, struct.error) as error:
        raise ValueError(f"headers or message_id: AMQP cannot carry them: {error}") from error


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
