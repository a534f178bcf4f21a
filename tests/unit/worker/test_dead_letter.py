"""What a person sees of a dead letter: its key, its row, and nothing that controls a terminal."""

import hashlib
import json
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from workqueue_broker.errors import BrokerUnavailable
from workqueue_worker.dead_letter import DeadLetter, plain
from workqueue_worker.dead_letter_commands import (
    Selection,
    list_as_json,
)
from workqueue_worker.delivery import Delivery


class DeadLetters:
    """A dead-letter queue in memory; counts what is taken, and fails after `good` settlements."""

    def __init__(self, *ids: str, returned: int = 0, good: int = 1000) -> None:
        self.queue = deque((name, returned) for name in ids)
        self.in_hand: dict[int, tuple[str, int]] = {}
        self.count = len(ids)
        self.taken = 0
        self.published: list[tuple[str, str]] = []
        #: Headers of the tasks with these ids.
        self.headers: dict[str, dict[str, object]] = {}
        #: Ids of tasks whose headers cannot be read, with the broker's count among them.
        self.unreadable: set[str] = set()
        self._good = good

    @property
    def ids(self) -> list[str]:
        return [name for name, _ in self.queue]

    def take(self) -> Delivery | None:
        if not self.queue:
            return None
        self.taken += 1
        name, returned = self.in_hand[self.taken] = self.queue.popleft()
        if name in self.unreadable:
            return Delivery(0, self.taken, returned > 0, b"", {}, name, None, None, None, unread_headers=b"?")
        headers = self.headers.get(name, {}) | ({"x-delivery-count": returned} if returned else {})
        return Delivery(0, self.taken, returned > 0, b"", headers, name, None, None, None)

    def properties(self, delivery: Delivery) -> Mapping[str, object]:
        return {"correlation_id": f"c-{delivery.message_id}"}

    def publish(self, delivery: Delivery, queue: str, *, as_new: bool) -> None:
        if len(self.published) == self._good:
            raise BrokerUnavailable("gone")
        self.published.append((queue, delivery.message_id or ""))

    def remove(self, delivery: Delivery) -> None:
        del self.in_hand[delivery.delivery_tag]

    def renew(self, delivery: Delivery) -> None:
        name, _ = self.in_hand.pop(delivery.delivery_tag)
        self.unreadable.discard(name)
        self.queue.append((name, 0))

    def put_back(self) -> None:
        self.queue.extendleft((name, returned + 1) for name, returned in reversed(self.in_hand.values()))
        self.in_hand.clear()


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
