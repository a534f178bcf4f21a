"""The connection for copies: when it is opened and closed, and what a refusal does to it."""

import pytest
from workqueue_broker.declaration import QueueDeclaration, QueueType
from workqueue_broker.errors import (
    AccessRefused,
    BrokerError,
    BrokerUnavailable,
    MessageRefused,
    QueueMissing,
)
from workqueue_worker.amqp import CopyRefused, NotSendable
from workqueue_worker.copy_publisher import CopyPublisher
from workqueue_worker.delivery import Delivery
from workqueue_worker.task_copy import Carried, Copy

from tests.support.waiting import wait_until


class Link:
    """A publishing connection that confirms everything; whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def ensure(self, queue: QueueDeclaration) -> None: ...

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
