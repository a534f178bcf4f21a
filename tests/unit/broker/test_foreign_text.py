"""Text from outside: cut, on one line, without control characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika.exceptions import ChannelClosedByBroker
from workqueue_broker.connection import describe
from workqueue_broker.foreign_text import MOST_CHARACTERS, error_text, foreign_text


@given(st.text())
def test_any_text_becomes_one_short_printable_line(text: str) -> None:
    line = foreign_text(text)
    assert len(line) <= MOST_CHARACTERS
    assert line.isprintable()
    assert line.splitlines() in ([], [line])
    line.encode()  # no lone surrogate


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("no queue 'a' in vhost '/'", "no queue 'a' in vhost '/'"),
        ("one\ntwo\r\n\x1b[2Jthree\u2028four\x9bfive", "one two [2Jthree four five"),
        ("émail 任務", "émail 任務"),
        ("x" * 10_000_000, "x" * 299 + "…"),
        ("\n" * 10_000_000, "…"),
        ("half a \ud800 pair", "half a pair"),
    ],
)
def test_what_it_becomes(text: str, line: str) -> None:
    assert foreign_text(text) == line


def test_an_error_without_words_is_named_by_its_type() -> None:
    assert error_text(TimeoutError()) == "TimeoutError"
    assert error_text(OSError("no\nroute")) == "no route"


def test_a_brokers_reply_text_is_foreign_too() -> None:
    text = describe(ChannelClosedByBroker(404, "NOT_FOUND\n2026 INFO all is well\x1b[2J" + "x" * 1000))
    assert text.startswith("404 NOT_FOUND 2026 INFO all is well [2Jxx")
    assert len(text) <= MOST_CHARACTERS + len("404 ")
