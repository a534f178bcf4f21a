"""Every step of a connection ends: when the broker does not answer one, the error names it."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from pika.adapters.utils.connection_workflow import AMQPConnectionWorkflowAborted
from workqueue_broker import answering
from workqueue_broker.address import BrokerAddress
from workqueue_broker.answering import NoAnswer
from workqueue_broker.connection import ConnectionSettings, broker_errors, connect
from workqueue_broker.declaration import QueueDeclaration, read_counts
from workqueue_broker.errors import BrokerUnavailable
from workqueue_producer.amqp.link import Link
from workqueue_producer.amqp.session import LinkSettings
from workqueue_producer.metrics import PublisherMetrics, QueueMetrics
from workqueue_worker.amqp import Trials
from workqueue_worker.amqp.consumer_link import ConsumePlan, ConsumerLink
from workqueue_worker.amqp.header_frames import connect_reading

from tests.support.mute_link import MuteLink
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.stranger import SILENCE, Stranger
from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until

pytestmark = pytest.mark.any_rabbitmq

#: For an answer that never comes; each of the others comes within milliseconds.
LIMIT_SECONDS = 1.0
SETTINGS = ConnectionSettings(name="steps", answer_timeout=LIMIT_SECONDS)


@pytest.fixture
def mute(quorum_queue: TaskQueue) -> Iterator[MuteLink]:
    with MuteLink(quorum_queue.server.amqp_port) as link:
        yield link


@pytest.fixture
def address(quorum_queue: TaskQueue, mute: MuteLink) -> BrokerAddress:
    return replace(quorum_queue.server.address(quorum_queue.vhost), hosts=(("127.0.0.1", mute.port),))


def not_answered(step: str) -> str:
    return rf"127\.0\.0\.1:\d+ did not answer {step} within 1 s"


def plan(address: BrokerAddress, alive: Callable[[], None] = lambda: None, *, create: bool = True) -> ConsumePlan:
    queue = QueueDeclaration("task_queue")
    return ConsumePlan(address, "steps", queue, QueueDeclaration("dead"), create, 1, alive, LIMIT_SECONDS)


@pytest.mark.parametrize(
    ("answer", "step", "create"),
    [
        ("channel.openok", "channel.open", True),
        ("queue.declareok", "queue.declare", True),
        ("queue.declareok", "queue.declare", False),
        ("channel.closeok", "channel.close", True),
        ("basic.qosok", "basic.qos", True),
        ("basic.consumeok", "basic.consume", True),
    ],
)
def test_a_worker_names_the_step_that_the_broker_does_not_answer(
    mute: MuteLink, address: BrokerAddress, answer: str, step: str, create: bool
) -> None:
    mute.answer = answer
    with pytest.raises(BrokerUnavailable, match=not_answered(step)):
        ConsumerLink(plan(address, create=create), 1, lambda _: None)


def test_a_worker_that_waits_for_the_broker_says_that_it_lives(mute: MuteLink, address: BrokerAddress) -> None:
    """/healthz would call it stuck otherwise, and a kubelet would kill it in a loop."""
    mute.answer = "queue.declareok"
    alive: list[bool] = []
    with pytest.raises(BrokerUnavailable):
        ConsumerLink(plan(address, lambda: alive.append(True)), 1, lambda _: None)
    assert alive


@pytest.mark.parametrize(
    ("answer", "step"),
    [("channel.openok", "channel.open"), ("confirm.selectok", "confirm.select"), ("basic.ack", "basic.publish")],
)
def test_a_worker_that_tries_whether_it_may_write_ends_and_says_that_it_lives(
    mute: MuteLink, address: BrokerAddress, answer: str, step: str
) -> None:
    mute.answer = answer
    alive: list[bool] = []
    with (
        Trials(address, "steps", lambda: alive.append(True), LIMIT_SECONDS) as trials,
        pytest.raises(BrokerUnavailable, match=not_answered(step)),
    ):
        trials.write()
    assert alive


def test_a_worker_that_leaves_does_not_wait_for_the_end_of_its_consumer(mute: MuteLink, address: BrokerAddress) -> None:
    link = ConsumerLink(plan(address), 1, lambda _: None)
    mute.answer = "basic.cancelok"
    with pytest.raises(BrokerUnavailable, match=not_answered("basic.cancel")):
        link.cancel()
    link.close()


@pytest.mark.parametrize("open_connection", [connect, connect_reading])
def test_a_blocking_call_ends_with_the_step_and_the_next_ones_at_once(
    mute: MuteLink, address: BrokerAddress, open_connection: Callable[..., object]
) -> None:
    """What check, dead-letters, the copies of failed tasks and the operator's readings use."""
    connection = connect(address, SETTINGS) if open_connection is connect else connect_reading(address, SETTINGS)
    channel = connection.channel()
    assert read_counts(channel, "task_queue").messages_ready == 0
    mute.answer = "queue.declareok"
    with pytest.raises(BrokerUnavailable, match=not_answered("queue.declare")), broker_errors(address):
        read_counts(channel, "task_queue")
    assert connection.is_closed


@pytest.mark.parametrize(
    ("answer", "step"),
    [
        ("channel.openok", "channel.open"),
        ("confirm.selectok", "confirm.select"),
        ("basic.getempty", "basic.get"),
        ("connection.closeok", "connection.close"),
    ],
)
def test_every_blocking_step_ends(mute: MuteLink, address: BrokerAddress, answer: str, step: str) -> None:
    mute.answer = answer
    connection = connect(address, SETTINGS)
    with pytest.raises(BrokerUnavailable, match=not_answered(step)), broker_errors(address):  # noqa: PT012
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_get("task_queue")
        connection.close()


def test_a_confirm_may_take_longer_than_an_answer(address: BrokerAddress) -> None:
    """A second copy of a task would be the price of giving up."""
    connection = connect(address, SETTINGS)
    channel = connection.channel()
    channel.confirm_delivery()
    connection._answer_seconds = 0.0
    channel.basic_publish("", "task_queue", b"task")
    with pytest.raises(NoAnswer):
        channel.queue_declare("task_queue", passive=True)


@pytest.mark.parametrize(
    ("answer", "step"),
    [
        ("channel.openok", "channel.open"),
        ("queue.declareok", "queue.declare"),
        ("confirm.selectok", "confirm.select"),
    ],
)
def test_a_publisher_says_what_it_waits_for_then_gives_up_and_connects_again(
    mute: MuteLink, address: BrokerAddress, answer: str, step: str
) -> None:
    mute.answer = answer
    queue = QueueDeclaration("task_queue")
    settings = LinkSettings(address, queue, True, "steps", 10, 1000, answer_timeout=LIMIT_SECONDS)
    link = Link(settings, QueueMetrics(PublisherMetrics(None), "task_queue"))
    seen: list[str | None] = []

    def reported(words: str) -> bool:
        seen.append(link.trouble)
        return words in (seen[-1] or "")

    wait_until(lambda: reported(f"the broker has not answered {step} yet"), 10, "the link names the answer")
    wait_until(lambda: reported(f"did not answer {step} within 1 s"), 10, "the link gives up")
    mute.answer = None
    wait_until(lambda: link.trouble is None, 10, "the link connects again")
    link.stop()


def test_a_server_that_says_nothing_is_named_by_the_step() -> None:
    with Stranger(SILENCE) as server:
        address = BrokerAddress(hosts=(("127.0.0.1", server.port),))
        with pytest.raises(BrokerUnavailable, match="no AMQP login within 10 s after connecting"):
            connect(address, SETTINGS)


class Hanging:
    """A workflow of the library's whose resolver does not answer."""

    def __init__(self, connecting: answering._Connecting) -> None:
        self._connecting = connecting

    def abort(self) -> None:
        self._connecting.done(AMQPConnectionWorkflowAborted())


def test_a_name_that_is_never_resolved_ends_too(rabbitmq: RabbitMQServer) -> None:
    outcomes: list[object] = []
    connection = connect(rabbitmq.address(), SETTINGS)  # only for its loop
    loop = connection._impl.ioloop
    connecting = answering._Connecting(outcomes.append, loop, 0.0)
    connecting.workflow = Hanging(connecting)
    wait_until(lambda: loop.process_timeouts() or outcomes, 10, "the connecting has ended")
    connection.close()
    assert isinstance(outcomes[0], NoAnswer)
    assert "its name is not resolved" in str(outcomes[0])
