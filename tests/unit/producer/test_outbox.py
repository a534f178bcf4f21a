"""The window of unconfirmed messages: its bounds, who is woken, and how it ends."""

import threading

import pytest
from workqueue_producer.outbox import Outbox
from workqueue_producer.receipts import Batch
from workqueue_producer.task import Message, Task

from tests.support.waiting import wait_until


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
    box.free(offered)
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
    first = message()
    box.offer(first, 0)
    answers, caller = waiting_caller(box)
    if end == "free":
        box.free([first])
    else:
        box.close()
    caller.join(10)
    assert answers == [end == "free"]


def waiting_caller(box: Outbox) -> tuple[list[bool], threading.Thread]:
    answers: list[bool] = []
    caller = threading.Thread(target=lambda: answers.append(box.offer(message(), 60)))
    caller.start()
    wait_until(lambda: box._waiting == 1, 10, "the caller waits")
    return answers, caller


def full(window: int) -> tuple[Outbox, list[Message]]:
    box, offered = outbox(window), [message() for _ in range(window)]
    for each in offered:
        box.offer(each, 0)
    return box, offered


def test_a_caller_is_woken_for_the_first_free_place() -> None:
    box, offered = full(10)
    answers, caller = waiting_caller(box)
    assert box.free(offered[:1]), "a caller waits, so it is to be shared soon"
    box.share()
    caller.join(10)
    assert answers == [True]


def test_a_quarter_that_is_free_is_shared_at_once() -> None:
    box, offered = full(8)
    answers, caller = waiting_caller(box)
    assert not box.free(offered[:2])
    caller.join(10)
    assert answers == [True]


def test_without_a_caller_that_waits_nothing_is_to_be_shared() -> None:
    box, offered = full(2)
    assert not box.free(offered[:1])


@pytest.mark.parametrize("end", ["free", "share", "close"])
def test_a_caller_that_cannot_wait_is_called_once_when_there_may_be_room(end: str) -> None:
    box, offered = full(8)
    called: list[int] = []
    assert not box.offer_or_call(message(), lambda: called.append(1))
    assert called == []
    if end == "close":
        box.close()
    else:
        box.free(offered[: 1 if end == "share" else 4])
        box.share()
        box.share()
        assert box.offer_or_call(message(), lambda: called.append(2))
    assert called == [1]


def test_a_caller_that_has_left_is_not_called() -> None:
    box, offered = full(1)
    called: list[int] = []

    def call() -> None:
        called.append(1)

    assert not box.offer_or_call(message(), call)
    box.forget(call)
    box.free(offered)
    assert called == []


def test_a_closed_one_takes_nothing_in_and_still_drains() -> None:
    box = outbox()
    first = message()
    box.offer(first, 0)
    box.close()
    assert not box.offer(message(), 0)
    assert not box.drain(0)
    box.free([first])
    assert box.drain(0)


def test_a_drain_does_not_wait_for_what_its_caller_gave_up() -> None:
    box = outbox()
    first, second, never_taken = message(), message(), message()
    box.offer(first, 0)
    box.offer(second, 0)
    box.abandon([first, never_taken])
    box.abandon([first])
    assert not box.drain(0)
    box.free([second])
    assert box.drain(0)
    box.free([first])
    assert box.drain(0)
    assert box.unsettled == 0
