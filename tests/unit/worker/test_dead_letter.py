"""What a person sees of a dead letter: its key, its row, and nothing that controls a terminal."""

import hashlib
import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from workqueue_worker.dead_letter import DeadLetter, plain
from workqueue_worker.dead_letter_commands import (
    Selection,
    list_as_json,
)
from workqueue_worker.delivery import Delivery

from tests.support.dead_letters_in_memory import DeadLetters


def dead_letter(body: bytes = b"body", name: str | None = None, **properties: object) -> DeadLetter:
    headers = {"x-workqueue-error": "\x1b]52;c;ZXZpbA==\x07", "n": [1, b"\xff", datetime(2026, 1, 1, tzinfo=UTC)]}
    return DeadLetter(Delivery(0, 1, False, body, headers, name, None, None, None), properties)


def test_a_task_without_an_id_has_a_key_that_stays_the_same() -> None:
    assert dead_letter(name="mine", correlation_id="c").key == "mine"
    assert dead_letter(correlation_id="c").key == "c"
    digest = hashlib.sha256(b"body").hexdigest()[:16]
    assert dead_letter().key == dead_letter(name="").key == f"sha256:{digest}"


@given(text=st.text() | st.binary(), name=st.none() | st.text(), value=st.text() | st.binary())
def test_nothing_that_a_sender_wrote_controls_a_terminal(text: str | bytes, name: str | None, value: object) -> None:
    body = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    delivery = Delivery(0, 1, False, body, {str(name): value, "deep": [{"a": value}]}, name, None, None, None)
    task = DeadLetter(delivery, {"type": value})
    printed = [*task.details(), task.as_json(), *task.row().split("\t")]
    assert all(line.isprintable() for line in printed)
    read = json.loads(task.as_json())
    assert "body_base64" in read or read["body"].encode() == body


def test_all_of_a_task_is_shown_on_request() -> None:
    shown = "\n".join(dead_letter(b"{\n\t\x1b}", content_type="text/plain").details())
    assert "  content_type: text/plain\n" in shown
    assert 'header n: [1, "\\\\xff", "2026-01-01 00:00:00+00:00"]' in shown
    assert shown.endswith("  body:\n    {\n    \\t\\x1b}")


def test_a_list_as_json_has_one_object_a_line() -> None:
    lines: list[str] = []
    assert list_as_json(DeadLetters("a", "b"), Selection(), lines.append) == 2
    assert [json.loads(line)["id"] for line in lines] == ["a", "b"]
    assert json.loads(lines[0])["properties"] == {"correlation_id": "c-a"}


def test_plain_text_is_left_as_it_is() -> None:
    assert plain("é 日本 a  b\n") == "é 日本 a b"
