"""Our quick encoding of a message's properties is the library's, byte for byte."""

from typing import Any

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_producer.amqp.properties import _encode, _encode_plain, message_properties
from workqueue_producer.task import Task


@given(message_id=st.text(max_size=60), published_ms=st.integers(0, 2**53))
def test_the_plain_encoding_is_what_the_library_makes_of_the_same_fields(message_id: str, published_ms: int) -> None:
    expected = _encode(Task(b""), message_id, published_ms)
    # The library picks the shortest integer type for the value; ours is always 64 bits, so both are read back.
    ours = pika.BasicProperties().decode(_encode_plain(message_id.encode(), published_ms))
    theirs = pika.BasicProperties().decode(expected)
    assert vars(ours) == vars(theirs)


@given(headers=st.dictionaries(st.text(min_size=1, max_size=20), st.text() | st.booleans(), max_size=5))
def test_headers_of_the_application_go_along(headers: dict[str, object]) -> None:
    encoded = b"".join(message_properties(Task(b"", headers=headers), "id").encode())
    decoded = pika.BasicProperties().decode(encoded)
    assert headers.items() <= decoded.headers.items()
    assert "x-workqueue-published-ms" in decoded.headers
    assert decoded.delivery_mode == 2


@pytest.mark.parametrize(
    ("message_id", "headers"),
    [("x" * 256, {}), ("é" * 128, {}), ("id", {"object": object()}), ("id", {"x" * 256: 1})],
    ids=["long id", "long id in bytes", "no AMQP type", "long name"],
)
def test_what_amqp_cannot_carry_is_a_value_error(message_id: str, headers: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="AMQP cannot carry"):
        message_properties(Task(b"", headers=headers), message_id)


@given(
    content_type=st.none() | st.text(max_size=63),
    priority=st.none() | st.integers(0, 255),
    expiration_ms=st.none() | st.integers(0, 2**32 - 1),
    correlation_id=st.none() | st.text(max_size=63),
    kind=st.none() | st.text(max_size=63),
)
def test_the_properties_of_a_task_go_along(
    content_type: str | None, priority: int | None, expiration_ms: int | None, correlation_id: str | None, kind: str
) -> None:
    task = Task(
        b"",
        content_type=content_type,
        priority=priority,
        expiration_ms=expiration_ms,
        correlation_id=correlation_id,
        type=kind,
    )
    decoded = pika.BasicProperties().decode(b"".join(message_properties(task, "id").encode()))
    assert (decoded.content_type, decoded.priority) == (content_type, priority)
    assert decoded.expiration == (None if expiration_ms is None else str(expiration_ms))
    assert (decoded.correlation_id, decoded.type) == (correlation_id, kind)
    assert (decoded.message_id, decoded.delivery_mode) == ("id", 2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("priority", value) for value in (-1, 256, True, 1.5, "high")),
        *(("expiration_ms", value) for value in (-1, 2**32, 1.5, "1000")),
        *((name, value) for name in ("content_type", "correlation_id", "type") for value in ("é" * 128, b"bytes", 7)),
    ],
)
def test_a_property_that_the_broker_would_refuse_is_a_value_error_that_names_it(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{field} must be"):
        message_properties(Task(b"", **{field: value}), "id")
