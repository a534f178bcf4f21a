"""AMQP messages as values, and the properties of their copies. Pure."""

from collections.abc import Collection, Mapping
from operator import attrgetter
from typing import Any

import pika
from workqueue_broker import headers as header

from workqueue_worker.amqp.headers import CopiedProperties, Properties, copied_table
from workqueue_worker.delivery import Delivery, Described

#: What a quorum queue writes on what it gives out. In a classic queue they are left over from another queue.
_BROKER_COUNTS = ("x-delivery-count", "x-acquired-count")
#: Headers that must not go into a copy: the broker's own counts of the other copy, and extra routing keys.
_NOT_COPIED = (*_BROKER_COUNTS, "CC", "BCC")
#: Properties that go into a copy as they are. Not the user, in whose name the broker refuses a copy.
_COPIED = (
    *("content_type", "content_encoding", "priority", "correlation_id", "reply_to", "expiration"),
    *("message_id", "timestamp", "type", "app_id", "cluster_id"),
)

#: The header that holds, as bytes, what could not be read.
UNREAD_HEADERS = "x-workqueue-unread-headers"
#: Seconds; the last moment that a date can hold.
_LATEST_TIME = 253_402_300_799


_DESCRIBED = attrgetter(*Described._fields)
_NOTHING = Described()  # most messages say no more: made once, not for every task


def delivery_of(method: Any, properties: Properties, body: bytes, *, epoch: int = 0, counted: bool = True) -> Delivery:
    """A received message as our value. `counted`: its queue counts how often it gave it out."""
    headers = properties.headers or {}
    if not counted:
        headers = {name: value for name, value in headers.items() if name not in _BROKER_COUNTS}
    return Delivery(
        epoch=epoch,
        delivery_tag=method.delivery_tag,
        redelivered=method.redelivered,
        body=body,
        headers=headers,
        message_id=_text(properties.message_id),
        content_type=_text(properties.content_type),
        enqueued_time=_enqueued_time(headers, properties.timestamp),
        properties=properties,
        unread_headers=properties.unread,
        described=_described(properties),
    )


def _described(properties: Properties) -> Described:
    values = _DESCRIBED(properties)
    return _NOTHING if values == _NOTHING else Described(*map(_text, values))


def _text(value: Any) -> Any:
    """The library gives bytes for what is no UTF-8."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _enqueued_time(headers: Mapping[str, object], timestamp: object) -> float | None:
    published_ms = headers.get(header.PUBLISHED_MS)
    seconds = published_ms / 1000 if isinstance(published_ms, int) else timestamp
    # A foreign producer may write anything there, milliseconds for instance.
    return float(seconds) if isinstance(seconds, int | float) and 0 < seconds <= _LATEST_TIME else None


def copied_properties(
    original: object, headers: Mapping[str, object], without: Collection[str] = (), *, expires: bool = True
) -> pika.BasicProperties:
    """The original's properties, persistent, with `headers` added and those named in `without` left out.

    Its other headers keep their bytes; what of them cannot be read becomes the value of one header.
    Not `expires`: it is kept until somebody takes it, whatever time to live the producer gave it.
    """
    assert isinstance(original, Properties)  # noqa: S101 - for the type checker
    properties = CopiedProperties(**{name: getattr(original, name) for name in _COPIED})
    unread = {UNREAD_HEADERS: original.unread} if original.unread else {}
    properties.table = copied_table(original.table, {*_NOT_COPIED, *without}, {**headers, **unread})
    properties.delivery_mode = pika.DeliveryMode.Persistent.value
    if not expires:
        properties.expiration = None
    return properties
