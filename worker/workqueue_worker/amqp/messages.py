"""AMQP messages as values, and the properties of their copies. Pure."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import pika
from workqueue_broker import headers as header

from workqueue_worker.delivery import Delivery

#: Headers that must not go into a copy: the broker's own counts of the other copy, and extra routing keys.
_NOT_COPIED = frozenset({"x-delivery-count", "x-acquired-count", "CC", "BCC"})


#: Seconds; the last moment that a date can hold.
_LATEST_TIME = 253_402_300_799


def delivery_of(epoch: int, method: Any, properties: Any, body: bytes) -> Delivery:
    """A received message as our value."""
    headers = {_text(name): value for name, value in (properties.headers or {}).items()}
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
    )


def _text(value: str | bytes | None) -> Any:
    """The library gives bytes for what is no UTF-8."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _enqueued_time(headers: Mapping[str, object], timestamp: object) -> float | None:
    published_ms = headers.get(header.PUBLISHED_MS)
    seconds = published_ms / 1000 if isinstance(published_ms, int) else timestamp
    # A foreign producer may write anything there, milliseconds for instance.
    return float(seconds) if isinstance(seconds, int | float) and 0 < seconds <= _LATEST_TIME else None


def copied_properties(
    original: object, headers: Mapping[str, object], without: Sequence[str] = ()
) -> pika.BasicProperties:
    """The original's properties, persistent, with `headers` added and those named in `without` left out."""
    properties = copy.copy(original) if original is not None else pika.BasicProperties()
    assert isinstance(properties, pika.BasicProperties)  # noqa: S101 - for the type checker
    kept = {name: value for name, value in (properties.headers or {}).items() if name not in {*_NOT_COPIED, *without}}
    properties.headers = {**kept, **headers}
    properties.delivery_mode = pika.DeliveryMode.Persistent.value
    properties.user_id = None  # the broker refuses a copy in another user's name
    return properties
