"""AMQP messages as values, and the properties of their copies. Pure."""

from collections.abc import Collection, Mapping
from operator import attrgetter
from typing import Any

import pika
from workqueue_broker import headers as header
from workqueue_broker.errors import MessageRefused

from workqueue_worker.amqp.headers import CopiedProperties, Properties, copied_table, read_fields
from workqueue_worker.delivery import Delivery, Described
from workqueue_worker.task_copy import Carried, Copy

#: What a quorum queue writes on what it gives out. In a classic queue they are left over from another queue.
_BROKER_COUNTS = ("x-delivery-count", "x-acquired-count")
#: Headers that must not go into a copy: the broker's own counts of the other copy, and extra routing keys.
_NOT_COPIED = (*_BROKER_COUNTS, "CC", "BCC")
#: Properties that say what the message is.
_OF_THE_CONTENT = ("content_type", "content_encoding", "message_id", "timestamp")
#: Properties that go into a copy as they are. Not the user, in whose name the broker refuses a copy; and not the
#: expiration: its clock would start again with the copy, and could run out before a worker has a free thread.
_COPIED = (*_OF_THE_CONTENT, "priority", "correlation_id", "reply_to", "type", "app_id", "cluster_id")

#: The header that holds, as bytes, what could not be read.
UNREAD_HEADERS = "x-workqueue-unread-headers"
#: Class, weight and body size before the properties; and what a frame has around its payload (AMQP 0-9-1, 2.3.5).
_CONTENT_HEADER_BYTES, _FRAME_BYTES = 12, 8
#: The longest list of the names that a copy lacks, in bytes.
_LEFT_OUT_BYTES = 1000
#: Characters of the error in a bare copy, so that it fits the smallest frame that AMQP allows, 4096 bytes.
_BARE_ERROR_LENGTH = 200
#: Seconds; the last moment that a date can hold.
_LATEST_TIME = 253_402_300_799


class NotSendable(MessageRefused):
    """A copy that the broker would not take, found before anything was sent: the connection is in order."""


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
    original: object, headers: Mapping[str, object], without: Collection[str] = ()
) -> CopiedProperties:
    """The original's properties, persistent, with `headers` added and those named in `without` left out.

    Its other headers keep their bytes; what of them cannot be read becomes the value of one header. The copy never
    expires, whatever time to live the producer gave the original.
    """
    assert isinstance(original, Properties)  # noqa: S101 - for the type checker
    unread = {UNREAD_HEADERS: original.unread} if original.unread and UNREAD_HEADERS not in without else {}
    table = copied_table(original.table, {*_NOT_COPIED, *without}, {**headers, **unread})
    return _made(original, _COPIED, table)


def properties_of(copy: Copy, original: object, frame_max: int) -> CopiedProperties:
    """The properties of a copy for a connection with this `frame_max` in bytes.

    Raises NotSendable when the frame cannot hold what the copy must carry: the broker would close the connection.
    """
    if copy.carried is Carried.BARE:
        properties = _bare(original, copy.headers)
    else:
        properties = copied_properties(original, copy.headers, header.OF_THE_WORKER)
    excess = _excess(properties, frame_max)
    if excess > 0 and copy.carried is Carried.WHAT_FITS:
        properties = _without_the_largest(original, copy.headers, excess)
        excess = _excess(properties, frame_max)
    if excess > 0:
        raise NotSendable(f"its headers and properties are {excess} bytes too many for a frame of {frame_max} bytes")
    return properties


def _excess(properties: CopiedProperties, frame_max: int) -> int:
    """Bytes by which a content header is larger than a frame can be; 0 or less: it fits."""
    return sum(map(len, properties.encode())) + _CONTENT_HEADER_BYTES + _FRAME_BYTES - frame_max


def _without_the_largest(original: object, headers: Mapping[str, object], excess: int) -> CopiedProperties:
    """As copied_properties, without so many of the original's largest headers that it is `excess` bytes smaller."""
    assert isinstance(original, Properties)  # noqa: S101 - for the type checker
    sizes = {UNREAD_HEADERS: len(original.unread)}
    for field in read_fields(original.table)[0]:
        if field.name not in (*_NOT_COPIED, *header.OF_THE_WORKER):
            sizes[field.name] = sizes.get(field.name, 0) + len(field.encoded)
    excess += len(header.LEFT_OUT) + _LEFT_OUT_BYTES + 10
    left_out: list[str] = []
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if excess <= 0:
            break
        left_out.append(name)
        excess -= sizes[name]
    return copied_properties(original, _naming(headers, left_out), {*header.OF_THE_WORKER, *left_out})


def _bare(original: object, headers: Mapping[str, object]) -> CopiedProperties:
    """The body's description alone, and `headers`."""
    assert isinstance(original, Properties)  # noqa: S101 - for the type checker
    names = [field.name for field in read_fields(original.table)[0] if field.name not in header.OF_THE_WORKER]
    error = str(headers.get(header.ERROR, ""))[:_BARE_ERROR_LENGTH]
    added = _naming({**headers, header.ERROR: error}, names)
    return _made(original, _OF_THE_CONTENT, copied_table(b"", (), added))


def _naming(headers: Mapping[str, object], left_out: Collection[str]) -> dict[str, object]:
    """`headers` with the names that are left out now, behind those that an earlier copy left out."""
    before = headers.get(header.LEFT_OUT)
    text = ", ".join([str(before), *left_out] if before else left_out)
    return {**headers, header.LEFT_OUT: text.encode(errors="replace")[:_LEFT_OUT_BYTES].decode(errors="ignore")}


def _made(original: Properties, names: Collection[str], table: bytes) -> CopiedProperties:
    properties = CopiedProperties(**{name: getattr(original, name) for name in names})
    properties.table = table
    properties.delivery_mode = pika.DeliveryMode.Persistent.value
    return properties
