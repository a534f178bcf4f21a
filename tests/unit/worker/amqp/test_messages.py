"""What a copy carries within a frame."""

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika.data import encode_table
from workqueue_broker import headers as header
from workqueue_broker.errors import (
    MessageRefused,
)
from workqueue_worker.amqp.headers import Properties
from workqueue_worker.amqp.messages import properties_of
from workqueue_worker.task_copy import Carried, Copy

FRAME = 4096
OURS = {header.ATTEMPTS: 5, header.REASON: "rejected", header.ERROR: "e" * 500, header.QUEUE: "q" * 255}


def received(headers: dict[str, object], **properties: object) -> Properties:
    sent = pika.BasicProperties(headers=headers, **properties)
    return Properties().decode(b"".join(sent.encode()))


def sent(carried: Carried, original: Properties) -> Properties:
    made = b"".join(properties_of(Copy("q", OURS, carried), original, FRAME).encode())
    assert len(made) + 12 + 8 <= FRAME
    return Properties().decode(made)


def test_the_largest_headers_are_left_out_and_named_until_the_rest_fits() -> None:
    original = received({"small": 1, "large": "x" * 3000, "medium": "y" * 1000}, correlation_id="c")
    copy = sent(Carried.WHAT_FITS, original)
    assert copy.headers == OURS | {"small": 1, "medium": "y" * 1000, header.LEFT_OUT: "large"}
    assert copy.correlation_id == "c"


def test_nothing_is_left_out_that_fits() -> None:
    copy = sent(Carried.WHAT_FITS, received({"small": 1}))
    assert copy.headers == OURS | {"small": 1}


def test_a_copy_that_must_be_whole_is_refused_before_it_is_sent() -> None:
    assert sent(Carried.WHOLE, received({"h": "x" * 1000})).headers == OURS | {"h": "x" * 1000}
    with pytest.raises(MessageRefused, match="too many for a frame of 4096 bytes"):
        sent(Carried.WHOLE, received({"h": "x" * 4000}))


def test_a_bare_copy_says_what_the_body_is_and_names_what_it_lacks() -> None:
    copy = sent(Carried.BARE, received({"a": 1, "b": 2}, message_id="m", content_type="t", reply_to="r", timestamp=5))
    assert (copy.message_id, copy.content_type, copy.timestamp, copy.reply_to) == ("m", "t", 5, None)
    assert copy.headers[header.LEFT_OUT] == "a, b"
    assert "a" not in copy.headers


short = st.text(max_size=60)


@given(
    st.dictionaries(short, st.binary(max_size=5000) | st.integers(-5, 5) | short, max_size=40),
    st.lists(short, min_size=9, max_size=9),
    st.binary(max_size=6000),
)
def test_every_task_has_a_form_that_fits_the_smallest_frame_of_amqp(
    headers: dict[str, object], texts: list[str], unread: bytes
) -> None:
    names = ("content_type", "content_encoding", "correlation_id", "reply_to", "message_id", "type", "app_id")
    original = received(headers, **dict(zip(names, texts, strict=False)))
    original.unread = unread
    assert sent(Carried.BARE, original).headers[header.REASON] == "rejected"
    kept = sent(Carried.WHAT_FITS, original).headers
    assert kept.items() >= OURS.items()


def test_the_smallest_frame_of_the_protocol_is_what_is_tested_here() -> None:
    assert pika.spec.FRAME_MIN_SIZE == FRAME
    assert encode_table([], OURS) < FRAME
