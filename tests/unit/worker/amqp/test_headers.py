"""Headers on the wire: every field is read, and a copy has it in the same bytes."""

import datetime
import math
import struct
from decimal import Decimal

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika.data import encode_table
from workqueue_worker.amqp.headers import Properties, read_fields
from workqueue_worker.amqp.messages import UNREAD_HEADERS, copied_properties, delivery_of


def field(name: bytes, kind: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + kind + value


DOUBLE = field(b"n", b"d", struct.pack(">d", 1.5))
UNKNOWN = field(b"u", b"?", b"whatever")


def received(table: bytes, **properties: object) -> Properties:
    """As a connection makes it from a content header."""
    plain = b"".join(pika.BasicProperties(headers={"x": None}, **properties).encode())
    empty = struct.pack(">I", 3) + b"\x01xV"
    return Properties().decode(plain.replace(empty, struct.pack(">I", len(table)) + table))


def values(table: bytes) -> dict[str, object]:
    return {found.name: found.value for found in read_fields(table)[0]}


@pytest.mark.parametrize(
    ("kind", "encoded", "value"),
    [
        (b"d", struct.pack(">d", 1.5), 1.5),
        (b"f", struct.pack(">f", -0.25), -0.25),
        (b"d", struct.pack(">d", math.inf), math.inf),
        (b"T", struct.pack(">Q", 1_700_000_000), datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.UTC)),
        (b"T", struct.pack(">Q", 1_700_000_000_000), 1_700_000_000_000),
        (b"T", struct.pack(">Q", 2**64 - 1), 2**64 - 1),
        (b"D", struct.pack(">Bi", 2, 125), Decimal("1.25")),
        (b"s", struct.pack(">h", -3), -3),
        (b"u", struct.pack(">H", 65535), 65535),
        (b"S", struct.pack(">I", 2) + b"\xff\xfe", b"\xff\xfe"),
        (b"F", struct.pack(">I", 4) + b"\x01\xfft\x01", {"\\xff": True}),
        (b"A", struct.pack(">I", 11) + b"V" + b"d" + struct.pack(">d", 0.5) + b"V", [None, 0.5, None]),
    ],
)
def test_a_value_is_what_was_sent(kind: bytes, encoded: bytes, value: object) -> None:
    assert values(field(b"h", kind, encoded) + field(b"next", b"t", b"\x01")) == {"h": value, "next": True}


def test_a_fraction_that_is_no_number_is_one() -> None:
    value = values(field(b"h", b"d", struct.pack(">d", math.nan)))["h"]
    assert isinstance(value, float)
    assert math.isnan(value)


def test_what_the_library_writes_is_read_as_the_library_reads_it() -> None:
    headers = {"a": "ä", "b": b"x", "c": 2**40, "d": -1, "e": True, "f": None, "g": {"h": [1, "two", {"three": 3}]}}
    pieces: list[bytes] = []
    encode_table(pieces, headers)
    assert values(b"".join(pieces[1:])) == headers


@given(st.binary())
def test_no_bytes_make_it_fail_and_none_are_lost(table: bytes) -> None:
    fields, unread = read_fields(table)
    assert b"".join(found.encoded for found in fields) + unread == table


@given(st.dictionaries(st.text(max_size=20), st.text() | st.integers(-(2**63), 2**63 - 1) | st.none()))
def test_properties_with_and_without_headers_are_those_of_the_library(headers: dict[str, object]) -> None:
    sent = pika.BasicProperties("type", "encoding", headers, 2, 3, message_id="m", timestamp=2**63)
    encoded = b"".join(sent.encode())
    assert vars(pika.BasicProperties().decode(encoded)).items() <= vars(Properties().decode(encoded)).items()
    assert Properties().decode(b"".join(pika.BasicProperties().encode())).headers is None


def test_a_copy_has_the_headers_in_the_same_bytes_and_what_is_added() -> None:
    original = received(DOUBLE + field(b"CC", b"V", b"") + field(b"gone", b"V", b""), message_id="m", expiration="5")
    copy = copied_properties(original, {"added": 1}, without=["gone"])
    again = Properties().decode(b"".join(copy.encode()))
    assert again.table.startswith(DOUBLE)
    assert again.headers == {"n": 1.5, "added": 1}
    assert (again.message_id, again.expiration, again.delivery_mode) == ("m", None, 2)


def test_the_end_that_no_program_can_read_is_kept_as_bytes() -> None:
    """No broker of today lets such a message in; should one, it is dead-lettered."""
    original = received(DOUBLE + UNKNOWN)
    assert (original.headers, original.unread) == ({"n": 1.5}, UNKNOWN)
    again = Properties().decode(b"".join(copied_properties(original, {}).encode()))
    assert again.headers == {"n": 1.5, UNREAD_HEADERS: UNKNOWN}


def test_a_delivery_says_that_its_headers_cannot_all_be_read() -> None:
    method = pika.spec.Basic.Deliver(delivery_tag=1, redelivered=False)
    assert delivery_of(method, received(DOUBLE + UNKNOWN), b"").unread_headers
    assert not delivery_of(method, received(DOUBLE), b"").unread_headers
