"""What the broker's answers and losses mean for the messages on their way."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
from workqueue_broker.errors import BrokerUnavailable
from workqueue_producer.amqp.sender import Sender
from workqueue_producer.amqp.session import Session
from workqueue_producer.callbacks import Callbacks
from workqueue_producer.metrics import PublisherMetrics, QueueMetrics
from workqueue_producer.outbox import Outbox
from workqueue_producer.receipts import TaskFuture
from workqueue_producer.task import Message, Task

from tests.support.waiting import wait_until


class FakeSession(Session):
    """Writes down what is published."""

    def __init__(self) -> None:
        self.published: list[bytes] = []
        self.declared = 0

    def publish(self, message: Message) -> None:
        self.published.append(message.body)

    def joined(self) -> AbstractContextManager[None]:
        return nullcontext()

    def declare(self, _: Callable[[object], None]) -> None:
        self.declared += 1


class Sending:
    """A sender with its outbox; what it puts off is done when it is asked for."""

    def __init__(self) -> None:
        self.outbox = Outbox(100, 10_000, lambda: None)
        self._later: list[Callable[[], None]] = []
        metrics = QueueMetrics(PublisherMetrics(None), "q")
        self.sender = Sender(self.outbox, metrics, lambda _, call: self._later.append(call), "q", True)
        self.session = self.connect()

    def connect(self) -> FakeSession:
        self.session = FakeSession()
        self.sender.ready(self.session)
        return self.session

    def send(self, body: bytes, message_id: str) -> TaskFuture:
        receipt = TaskFuture(Callbacks(), waited_for=True)
        self.outbox.offer(Message(Task(body), message_id, None, receipt, 0.0), 0)
        self.sender.pump()
        return receipt

    def time_passes(self) -> None:
        later, self._later = self._later, []
        for call in later:
            call()


def test_a_caller_that_waits_for_room_gets_what_a_single_confirm_makes() -> None:
    sending = Sending()
    for number in range(100):
        sending.send(b"x", f"{number}")
    answers: list[bool] = []
    message = Message(Task(b""), "waits", None, TaskFuture(Callbacks(), waited_for=True), 0.0)
    caller = threading.Thread(target=lambda: answers.append(sending.outbox.offer(message, 60)))
    caller.start()
    wait_until(lambda: sending.outbox._waiting == 1, 10, "the caller waits")
    sending.sender.confirmed(1, multiple=False)
    sending.time_passes()
    caller.join(10)
    assert answers == [True]


def test_a_submitted_task_that_fails_is_logged_with_its_id(caplog: pytest.LogCaptureFixture) -> None:
    sending = Sending()
    sending.outbox.offer(Message(Task(b""), "dropped", None, TaskFuture(Callbacks(), waited_for=False), 0.0), 0)
    sending.send(b"", "waited for")
    sending.sender.fail_all(BrokerUnavailable("away"))
    assert caplog.messages == ["queue q: 1 submitted tasks not confirmed: away; ids: dropped"]


def test_of_two_messages_of_one_id_neither_is_confirmed_by_the_confirm_of_a_returned_one() -> None:
    sending = Sending()
    receipts = [sending.send(b"first", "same"), sending.send(b"second", "same")]
    for _ in receipts:
        sending.sender.returned("same")
    sending.sender.confirmed(2, multiple=True)
    assert [receipt.done() for receipt in receipts] == [False, False]
    sending.time_passes()
    sending.sender.confirmed(3, multiple=False)
    sending.sender.confirmed(4, multiple=False)
    assert sending.session.published == [b"first", b"second"] * 2
    assert [receipt.result(0) for receipt in receipts] == ["same", "same"]


def test_of_two_of_one_id_of_which_one_was_returned_none_is_lost() -> None:
    """The queue went between the two; the broker names the id, not the message."""
    sending = Sending()
    first, second = sending.send(b"there", "same"), sending.send(b"returned", "same")
    sending.sender.returned("same")
    sending.sender.confirmed(1, multiple=False)
    sending.sender.confirmed(2, multiple=False)
    assert not second.done()
    assert not first.done()
    sending.time_passes()
    assert sending.session.declared == 1
    assert sending.session.published == [b"there", b"returned", b"there"]


def test_a_message_alone_on_its_way_fails_when_the_broker_refuses_a_message() -> None:
    sending = Sending()
    receipt = sending.send(b"bad", "id")
    sending.sender.lost(BrokerUnavailable("too large"), by_message=True)
    assert "too large" in str(receipt.exception(0))


def test_a_message_alone_on_its_way_goes_again_when_the_channel_was_lost_for_another_reason() -> None:
    sending = Sending()
    receipt = sending.send(b"good", "id")
    sending.sender.lost(BrokerUnavailable("internal error"), by_message=False)
    assert sending.connect().published == [b"good"]
    sending.sender.confirmed(1, multiple=False)
    assert receipt.result(0) == "id"


def test_of_several_on_their_way_the_one_that_is_refused_is_looked_for_one_by_one() -> None:
    sending = Sending()
    receipts = [sending.send(body, body.decode()) for body in (b"good", b"bad", b"last")]
    sending.sender.lost(BrokerUnavailable("too large"), by_message=True)
    assert sending.connect().published == [b"good"]
    sending.sender.confirmed(1, multiple=False)
    assert sending.session.published == [b"good", b"bad", b"last"]
    sending.sender.lost(BrokerUnavailable("too large"), by_message=True)
    assert sending.connect().published == [b"bad"]
    sending.sender.lost(BrokerUnavailable("too large"), by_message=True)
    assert sending.connect().published == [b"last"]
    assert [receipt.done() for receipt in receipts] == [True, True, False]
