"""Our quick encoding of a message's properties is the library's, byte for byte."""

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_producer.amqp.properties import _encode, _encode_plain, message_properties


@given(message_id=st.text(max_size=60), published_ms=st.integers(0, 2**53))
def test_the_plain_encoding_is_what_the_library_makes_of_the_same_fields(message_id: str, published_ms: int) -> None:
    expected = _encode(message_id, {"x-workqueue-published-ms": published_ms}, published_ms)
    # The library picks the shortest integer type for the value; ours is always 64 bits, so both are read back.
    ours = pika.BasicProperties().decode(_encode_plain(message_id.encode(), published_ms))
    theirs = pika.BasicProperties().decode(expected)
    assert vars(ours) == vars(theirs)


@given(headers=st.dictionaries(st.text(min_size=1, max_size=20), st.text() | st.booleans(), max_size=5))
def test_headers_of_the_application_go_along(headers: dict[str, object]) -> None:
    encoded = b"".join(message_properties("id", headers).encode())
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
        message_properties(message_id, headers)
