"""A message's headers, field by field, each with the bytes that it came in. Pure.

The library reads fractions as whole numbers, and fails at a fraction that is no number or a date past the year 9999,
which costs the connection: one such message would stop its queue forever. Here every field is read, and a copy of a
message has them in the bytes of the original. Field types: RabbitMQ's AMQP 0-9-1 errata, section 3.
"""

import struct
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pika
from pika.data import encode_table

_NUMBERS = {kind: struct.Struct(f">{form}") for kind, form in zip(b"bBsUuIiLlfd", "bBhhHiIqqfd", strict=True)}
_BOOLEAN, _DECIMAL, _TEXT, _BYTES, _LIST, _TIME, _TABLE, _NOTHING = b"tDSxATFV"
_LENGTH = struct.Struct(">I")
_EMPTY_TABLE = b"\0\0\0\0"


class Field(NamedTuple):
    """One header."""

    #: What is no UTF-8 is written with backslashes.
    name: str
    #: Numbers, texts, bytes, dates, lists and dictionaries. A date that Python cannot hold is its number of seconds.
    value: Any
    #: The whole field, with its name.
    encoded: bytes


class Properties(pika.BasicProperties):  # type: ignore[misc] # pika has no type hints
    """A received message's properties: what the library makes of them, but for the headers."""

    #: The header table as it came, without its length.
    table: bytes = b""
    #: The end of the table, from the first field of an unknown type; b"" when all of it was read.
    unread: bytes = b""

    def decode(self, encoded: bytes, offset: int = 0) -> "Properties":
        """Read them all; called by the connection."""
        encoded = encoded[offset:]
        start = _start_of_headers(encoded)
        if start is None:
            super().decode(encoded)
            return self
        end = start + 4 + _LENGTH.unpack_from(encoded, start)[0]
        self.table = encoded[start + 4 : end]
        super().decode(encoded[:start] + _EMPTY_TABLE + encoded[end:])
        fields, self.unread = read_fields(self.table)
        self.headers = {field.name: field.value for field in fields}
        return self


class CopiedProperties(pika.BasicProperties):  # type: ignore[misc] # pika has no type hints
    """Properties with a header table that is written as it is."""

    table: bytes = b""

    def encode(self) -> list[bytes]:
        """In pieces; called by the channel."""
        self.headers: dict[str, Any] = {}  # takes the table's place
        encoded = b"".join(super().encode())
        start = _start_of_headers(encoded)
        return [encoded[:start], _LENGTH.pack(len(self.table)), self.table, encoded[start + 4 :]]  # type: ignore[operator] # headers are there


def copied_table(table: bytes, without: Collection[str], added: Mapping[str, object]) -> bytes:
    """The fields of `table` but those named, in their own bytes, and those `added`."""
    fields, _ = read_fields(table)
    pieces: list[bytes] = []
    encode_table(pieces, dict(added))
    kept = [field.encoded for field in fields if field.name not in without and field.name not in added]
    return b"".join([*kept, *pieces[1:]])


def read_fields(table: bytes) -> tuple[list[Field], bytes]:
    """All fields that can be read, and the bytes from the first on that cannot."""
    fields = []
    start = 0
    try:
        for name, value, end in _fields(table, 0, len(table)):
            fields.append(Field(name, value, table[start:end]))
            start = end
    except (_Unreadable, struct.error, IndexError, RecursionError):
        pass
    return fields, table[start:]


class _Unreadable(Exception):
    pass


def _fields(table: bytes, offset: int, end: int) -> Iterator[tuple[str, Any, int]]:
    while offset < end:
        start = offset + 1
        offset = start + table[offset]
        name = table[start:offset].decode(errors="backslashreplace")
        value, offset = _value(table, offset)
        if offset > end:
            raise _Unreadable
        yield name, value, offset


def _value(table: bytes, offset: int) -> tuple[Any, int]:  # noqa: C901 - one case for each type
    kind = table[offset]
    offset += 1
    if number := _NUMBERS.get(kind):
        return number.unpack_from(table, offset)[0], offset + number.size
    if kind == _NOTHING:
        return None, offset
    if kind == _BOOLEAN:
        return bool(table[offset]), offset + 1
    if kind == _TIME:
        return _time(struct.unpack_from(">Q", table, offset)[0]), offset + 8
    if kind == _DECIMAL:
        scale, digits = struct.unpack_from(">Bi", table, offset)
        return Decimal(digits).scaleb(-scale), offset + 5
    start = offset + 4
    end = start + _LENGTH.unpack_from(table, offset)[0]
    if end > len(table):
        raise _Unreadable
    if kind == _TEXT:
        return _text(table[start:end]), end
    if kind == _BYTES:
        return table[start:end], end
    if kind == _TABLE:
        return {name: value for name, value, _ in _fields(table, start, end)}, end
    if kind == _LIST:
        return _list(table, start, end), end
    raise _Unreadable


def _list(table: bytes, offset: int, end: int) -> list[Any]:
    values = []
    while offset < end:
        value, offset = _value(table, offset)
        values.append(value)
    return values


def _text(encoded: bytes) -> str | bytes:
    """As the library: bytes for what is no UTF-8."""
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        return encoded


def _time(seconds: int) -> datetime | int:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):  # milliseconds, for instance
        return seconds


def _start_of_headers(encoded: bytes) -> int | None:
    """Where the header table is in a content header's properties; None when there is none."""
    flags, offset = struct.unpack_from(">H", encoded)[0], 2
    if not flags & pika.BasicProperties.FLAG_HEADERS:
        return None
    for before in (pika.BasicProperties.FLAG_CONTENT_TYPE, pika.BasicProperties.FLAG_CONTENT_ENCODING):
        if flags & before:
            offset += 1 + encoded[offset]
    return offset
