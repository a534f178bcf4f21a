"""What a copy carries within a frame, the idle connection for copies, and what the probes say of a held task."""

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika.data import encode_table
from workqueue_broker import headers as header
from workqueue_broker.declaration import QueueDeclaration, QueueType
from workqueue_broker.errors import (
    AccessRefused,
    BrokerError,
    BrokerUnavailable,
    MessageRefused,
    QueueMissing,
)
from workqueue_worker.amqp import CopyRefused, NotSendable
from workqueue_worker.amqp.headers import Properties
from workqueue_worker.amqp.messages import properties_of
from workqueue_worker.copy_publisher import CopyPublisher
from workqueue_worker.delivery import Delivery
from workqueue_worker.health import HELD_SECONDS, Health, Readiness
from workqueue_worker.task_copy import Carried, Copy

from tests.support.fakes import ManualClock
from tests.support.waiting import wait_until

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


class Link:
    """A publishing connection that confirms everything; whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def ensure(self, _queue: object) -> None: ...

    def publish(self, _copy: Copy, _delivery: Delivery) -> None: ...

    def close(self) -> None:
        self.closed = True


def test_an_idle_connection_for_copies_is_closed_and_the_next_copy_opens_another() -> None:
    """Left open, it would miss the broker's heartbeats."""
    opened: list[Link] = []

    def open_link() -> Link:
        opened.append(Link())
        return opened[-1]

    copies = CopyPublisher(open_link, None, idle_seconds=0.05)
    delivery = Delivery(1, 1, False, b"", {}, "m", None, None, None)
    for number in (1, 2):
        copies.publish(Copy("q", {}, Carried.WHOLE), delivery)
        assert len(opened) == number
        wait_until(lambda: opened[-1].closed, 30, "it is closed")


class RefusingLink(Link):
    """A publishing connection that raises what it is given for a queue, as often as it is given."""

    def __init__(self, refusals: dict[str, list[BrokerError]], ensures: BrokerError | None = None) -> None:
        super().__init__()
        self.done: list[str] = []
        self._refusals = refusals
        self._ensures = ensures

    def ensure(self, queue: QueueDeclaration) -> None:
        self.done.append(f"ensure {queue.name}")
        if self._ensures:
            raise self._ensures

    def publish(self, copy: Copy, _delivery: Delivery) -> None:
        self.done.append(copy.queue)
        if refusals := self._refusals.get(copy.queue):
            raise refusals.pop()


DEAD_LETTERS = QueueDeclaration("q.dead", QueueType.QUORUM)
DELIVERY = Delivery(1, 1, False, b"", {}, "m", None, None, None)


def publish(copies: CopyPublisher, queue: str) -> None:
    copies.publish(Copy(queue, {}, Carried.WHOLE), DELIVERY)


@pytest.mark.parametrize(
    ("refusal", "closes"),
    [
        (NotSendable("too large for a frame"), False),
        (CopyRefused("full"), False),
        (QueueMissing("no such queue"), False),
        (MessageRefused("406"), True),
        (BrokerUnavailable("gone"), True),
    ],
)
def test_a_refusal_that_leaves_the_connection_in_order_does_not_close_it(refusal: BrokerError, closes: bool) -> None:
    links = [RefusingLink({"q": [refusal]}), RefusingLink({})]
    opened = iter(links)
    copies = CopyPublisher(lambda: next(opened), None)
    with pytest.raises(type(refusal)):
        publish(copies, "q")
    assert links[0].closed is closes
    publish(copies, "q")
    assert links[closes].done[-1] == "q"
    copies.close()


def test_the_dead_letter_queue_is_made_when_a_dead_letter_finds_it_missing() -> None:
    link = RefusingLink({"q.dead": [QueueMissing("no")]})
    copies = CopyPublisher(lambda: link, DEAD_LETTERS)
    publish(copies, "q.dead")
    assert link.done == ["q.dead", "ensure q.dead", "q.dead"]
    copies.close()


def test_a_dead_letter_queue_that_cannot_be_made_keeps_no_copy_from_the_tasks_own_queue() -> None:
    def open_link() -> RefusingLink:
        return RefusingLink({"q.dead": [QueueMissing("no")]}, ensures=AccessRefused("no configure permission"))

    copies = CopyPublisher(open_link, DEAD_LETTERS)
    publish(copies, "q")
    with pytest.raises(AccessRefused):
        publish(copies, "q.dead")
    publish(copies, "q")
    copies.close()


def test_a_worker_that_holds_a_task_for_a_lasting_reason_is_not_ready_until_it_is_released() -> None:
    health = Health(4)
    health.readiness = Readiness(ready=True, text="consuming")
    health.hold(1, "task a: a full queue")
    assert (health.readiness.ready, health.takes_no_more) == (True, False)
    health.hold(2, "task b: no permission", lasting=True)
    health.hold(3, "task c: a full queue")
    assert (health.readiness.ready, health.takes_no_more) == (False, True)
    assert health.holding == "holding 3 failed tasks: task b: no permission"
    health.release(2)
    assert (health.readiness.ready, health.takes_no_more) == (True, False)


def test_a_worker_is_ready_while_a_slot_is_free_and_not_while_every_slot_holds_a_failed_task() -> None:
    clock = ManualClock()
    health = Health(2, clock.monotonic)
    health.readiness = Readiness(ready=True, text="consuming")
    health.hold(1, "task a: a full queue")
    clock.advance(HELD_SECONDS)
    assert (health.readiness.ready, health.held) == (True, 1)
    health.hold(2, "task b: not confirmed yet")
    assert (health.readiness.ready, health.held) == (True, 1), "most copies are confirmed at once"
    clock.advance(HELD_SECONDS)
    health.hold(2, "task b: a full queue")  # another attempt
    assert health.readiness == Readiness(ready=False, text="can take no new task: every slot holds a failed one")
    assert (health.takes_no_more, health.held) == (False, 2)
    health.release(1)
    assert (health.readiness.ready, health.held) == (True, 1)


def test_the_smallest_frame_of_the_protocol_is_what_is_tested_here() -> None:
    assert pika.spec.FRAME_MIN_SIZE == FRAME
    assert encode_table([], OURS) < FRAME
