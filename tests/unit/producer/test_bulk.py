"""publish_many hears of every end: it names what it took and what is not confirmed, whatever failed."""

from collections.abc import Callable, Iterator

import pytest
from workqueue_producer.bulk import Bulk
from workqueue_producer.errors import NotConfirmed, PublisherClosed
from workqueue_producer.outbox import Outbox
from workqueue_producer.receipts import Batch
from workqueue_producer.task import Message, Receipt, Task


class Broker:
    """Confirms at once what the outbox takes in, but for the bodies that it keeps to itself."""

    def __init__(self, *silent_about: bytes) -> None:
        self.outbox = Outbox(10, 1000, self._confirm)
        self._silent_about = silent_about
        self.confirmed: list[bytes] = []

    def _confirm(self) -> None:
        for message in self.outbox.take_all():
            if message.body not in self._silent_about:
                message.receipt.settle(message, None)
                self.outbox.free([message])
                self.confirmed.append(message.body)


def message(given: bytes | Task, receipt: Receipt) -> Message:
    """As the publisher makes it, with an error for what cannot be sent."""
    task = given if isinstance(given, Task) else Task(given)
    if not isinstance(task.body, bytes):
        raise TypeError("body must be bytes")
    if "bad" in task.headers:
        raise ValueError("AMQP cannot carry them")
    return Message(task, task.message_id or task.body.decode(), None, receipt, 0.0)


def bulk(broker: Broker, progress: Callable[[int], bool | None] = lambda _: None) -> Bulk:
    return Bulk(message, broker.outbox, lambda: "silence", 0.2, progress)


def test_an_item_that_cannot_be_sent_names_what_is_not_confirmed_and_itself() -> None:
    broker = Broker(b"2")
    bad = Task(b"3", "three", {"bad": 1})
    with pytest.raises(NotConfirmed) as raised:
        bulk(broker).run([b"1", b"2", bad, b"4"])
    assert [task.body for task in raised.value.tasks] == [b"2", b"3"]
    assert raised.value.tasks[-1] is bad
    assert isinstance(raised.value.__cause__, ValueError)
    assert broker.confirmed == [b"1"]


def test_an_item_that_is_no_task_is_reported_once_the_others_are_confirmed() -> None:
    broker = Broker()
    with pytest.raises(NotConfirmed, match="body must be bytes") as raised:
        bulk(broker).run([b"1", "2", b"3"])  # type: ignore[list-item]  # a caller without types
    assert raised.value.tasks == ()
    assert isinstance(raised.value.__cause__, TypeError)
    assert broker.confirmed == [b"1"]


@pytest.mark.parametrize("error", [OSError("disk"), NotConfirmed("another publisher", [Task(b"other", "other")])])
def test_tasks_that_end_in_an_error_of_their_own_name_what_is_not_confirmed(error: Exception) -> None:
    def tasks() -> Iterator[bytes]:
        yield b"1"
        yield b"2"
        raise error

    with pytest.raises(NotConfirmed) as raised:
        bulk(Broker(b"1")).run(tasks())
    assert [task.body for task in raised.value.tasks] == [b"1"]
    assert raised.value.__cause__ is error


def test_a_progress_that_fails_names_what_is_not_confirmed() -> None:
    def progress(_: int) -> None:
        raise BrokenPipeError("the reader is gone")

    with pytest.raises(NotConfirmed, match="the reader is gone") as raised:
        bulk(Broker(b"2"), progress).run([b"1", b"2"])
    assert [task.body for task in raised.value.tasks] == [b"2"]


def test_a_publisher_that_is_closed_during_that_time_names_the_one_it_did_not_take() -> None:
    broker = Broker()

    def tasks() -> Iterator[bytes]:
        yield b"1"
        broker.outbox.close()
        yield b"2"
        raise AssertionError("nothing is taken after that")

    with pytest.raises(NotConfirmed, match="the publisher was closed") as raised:
        bulk(broker).run(tasks())
    assert [task.body for task in raised.value.tasks] == [b"2"]
    assert isinstance(raised.value.__cause__, PublisherClosed)


def test_an_interruption_of_the_caller_goes_through_and_nothing_is_sent_later() -> None:
    taken = Batch()

    def tasks() -> Iterator[bytes]:
        yield b"1"
        raise KeyboardInterrupt

    work = bulk(Broker(b"1"))
    with pytest.raises(KeyboardInterrupt):
        work.run(tasks())
    taken = work._batch
    assert all(message.abandoned for message in taken.pending)
