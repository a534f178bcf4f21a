"""AMQP messages as values, and the properties of their copies. Pure."""

import copy
import struct
from collections.abc import Collection, Mapping
from typing import Any

import pika
from pika import exceptions as amqp
from pika.data import encode_value
from workqueue_broker import headers as header

from workqueue_worker.delivery import Delivery

#: What a quorum queue writes on what it gives out. In a classic queue they are left over from another queue.
_BROKER_COUNTS = ("x-delivery-count", "x-acquired-count")
#: Headers that must not go into a copy: the broker's own counts of the other copy, and extra routing keys.
_NOT_COPIED = (*_BROKER_COUNTS, "CC", "BCC")


#: Seconds; the last moment that a date can hold.
_LATEST_TIME = 253_402_300_799


def delivery_of(method: Any, properties: Any, body: bytes, *, epoch: int = 0, counted: bool = True) -> Delivery:
    """A received message as our value. `counted`: its queue counts how often it gave it out."""
    headers = {_text(name): value for name, value in (properties.headers or {}).items()}
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
    )


def _text(value: str | bytes | None) -> Any:
    """The library gives bytes for what is no UTF-8."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _enqueued_time(headers: Mapping[str, object], timestamp: object) -> float | None:
    published_ms = headers.get(header.PUBLISHED_MS)
    seconds = published_ms / 1000 if isinstance(published_ms, int) else timestamp
    # A foreign producer may write anything there, milliseconds for instance.
    return float(seconds) if isinstance(seconds, int | float) and 0 < seconds <= _LATEST_TIME else None


def _writable(value: Any) -> Any:
    """A header's value as the library can write it: it reads fractions and long decimals, but writes none (1.4.4)."""
    if isinstance(value, dict):
        return {name: _writable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_writable(inner) for inner in value]
    try:
        encode_value([], value)
    except (amqp.AMQPError, struct.error):
        return str(value)
    return value


def copied_properties(
    original: object, headers: Mapping[str, object], without: Collection[str] = (), *, expires: bool = True
) -> pika.BasicProperties:
    """The original's properties, persistent, with `headers` added and those named in `without` left out.

    Not `expires`: it is kept until somebody takes it, whatever time to live the producer gave it.
    """
    properties = copy.copy(original) if original is not None else pika.BasicProperties()
    assert isinstance(properties, pika.BasicProperties)  # noqa: S101 - for the type checker
    kept = {name: value for name, value in (properties.headers or {}).items() if name not in {*_NOT_COPIED, *without}}
    properties.headers = {name: _writable(value) for name, value in {**kept, **headers}.items()}
    properties.delivery_mode = pika.DeliveryMode.Persistent.value
    properties.user_id = None  # the broker refuses a copy in another user's name
    if not expires:
        properties.expiration = None
    return properties
