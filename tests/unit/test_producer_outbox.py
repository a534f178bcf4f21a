"""The window of unconfirmed messages: its bounds, who is woken, and how it ends."""

import threading

import pytest
from waiting import wait_until
from workqueue_producer.outbox import Outbox
from workqueue_producer.receipts import Batch
from workqueue_producer.task import Message, Task


def message(size: int = 1) -> Message:
    return Message(Task(b"x" * size), "id", None, Batch(), 0.0)


def outbox(window: int = 4, window_bytes: int = 100) -> Outbox:
    return Outbox(window, window_bytes, lambda: None)


def test_it_takes_as_many_messages_as_its_window_and_no_more() -> None:
    box = outbox(window=4)
    assert [box.offer(message(), 0) for _ in range(5)] == [True] * 4 + [False]
    assert box.unsettled == 4


def test_it_takes_no_more_once_the_bytes_are_reached_but_always_one() -> None:
    box = outbox(window_bytes=100)
    assert box.offer(message(1000), 0)
    assert not box.offer(message(1), 0)


def test_what_is_taken_to_be_sent_keeps_its_room_until_it_is_settled() -> None:
    box = outbox(window=4)
    offered = [message() for _ in range(4)]
    for each in offered:
        box.offer(each, 0)
    assert list(box.take_all()) == offered
    assert list(box.take_all()) == []
    assert not box.offer(message(), 0)
    box.free(4, 4)
    assert box.offer(message(), 0)


def test_the_sender_is_woken_once_until_it_takes() -> None:
    woken: list[int] = []
    box = Outbox(100, 1000, lambda: woken.append(1))
    box.offer(message(), 0)
    box.offer(message(), 0)
    assert len(woken) == 1
    box.take_all()
    box.offer(message(), 0)
    assert len(woken) == 2


@pytest.mark.parametrize("end", ["free", "close"])
def test_a_caller_that_waits_for_room_goes_on_when_there_is_some_or_never_will_be(end: str) -> None:
    box = outbox(window=1)
    box.offer(message(), 0)
    answers: list[bool] = []
    caller = threading.Thread(target=lambda: answers.append(box.offer(message(), 30)))
    caller.start()
    wait_until(lambda: box._waiting == 1, 10, "the caller waits")
    if end == "free":
        box.free(1, 1)
    else:
        box.close()
    caller.join(10)
    assert answers == [end == "free"]


def test_a_closed_one_takes_nothing_in_and_still_drains() -> None:
    box = outbox()
    box.offer(message(), 0)
    box.close()
    assert not box.offer(message(), 0)
    assert not box.drain(0)
    box.free(1, 1)
    assert box.drain(0)
