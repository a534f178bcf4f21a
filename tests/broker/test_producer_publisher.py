"""The Publisher against a real broker: what it promises, and each way in which a broker can fail it."""

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import pytest
from prometheus_client import CollectorRegistry
from workqueue_broker.address import BrokerAddress
from workqueue_broker.declaration import QueueDeclaration, QueueType
from workqueue_broker.errors import AccessRefused, QueueMismatch, QueueMissing
from workqueue_producer import NotConfirmed, Publisher, PublisherClosed, PublisherMetrics, PublisherSettings, Task
from workqueue_producer.amqp.link import Link
from workqueue_producer.amqp.properties import message_properties
from workqueue_producer.amqp.session import LinkSettings
from workqueue_producer.callbacks import Callbacks
from workqueue_producer.metrics import QueueMetrics, ResendCause
from workqueue_producer.receipts import TaskFuture
from workqueue_producer.task import Message

from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until

DEFAULTS = PublisherSettings()
MakePublisher = Callable[..., Publisher]


@pytest.fixture
def publisher_for() -> Iterator[MakePublisher]:
    """Makes publishers that end with the test, whatever is left in them."""
    with ExitStack() as stack:

        def make(
            queue: TaskQueue, settings: PublisherSettings = DEFAULTS, address: BrokerAddress | None = None
        ) -> Publisher:
            where = address or queue.server.address(queue.vhost)
            publisher = Publisher(where, QueueDeclaration(queue.name, queue.type), settings)
            stack.callback(publisher.close, 0.0)
            return publisher

        yield make


def bodies(queue: TaskQueue) -> list[bytes]:
    return [body for _, body in queue.take_all()]


def full_after(queue: TaskQueue, messages: int) -> None:
    """A policy as the operator sets it for spec.queue.maxLength."""
    definition = {"max-length": messages, "overflow": "reject-publish"}
    policy = {"pattern": f"^{queue.name}$", "definition": definition, "apply-to": "queues"}
    queue.server.management("PUT", f"/api/policies/{queue.vhost.replace('/', '%2F')}/limit", policy)


def in_background(work: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def test_a_published_task_is_persistent_and_carries_its_id_and_when_it_was_published(
    task_queue: TaskQueue, publisher_for: MakePublisher
) -> None:
    message_id = publisher_for(task_queue).publish(b"body", headers={"traceparent": "00-1-2-01", "n": 7})
    [(properties, body)] = task_queue.take_all()
    assert (body, properties.message_id, properties.delivery_mode) == (b"body", message_id, 2)
    assert properties.headers["traceparent"] == "00-1-2-01"
    assert properties.headers["n"] == 7
    assert properties.headers["x-workqueue-published-ms"] // 1000 == properties.timestamp


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00", b"x" * 10 * 1024 * 1024], ids=["empty", "not-text", "10 MiB"])
def test_any_body_arrives_as_it_was(quorum_queue: TaskQueue, publisher_for: MakePublisher, body: bytes) -> None:
    publisher_for(quorum_queue).publish(body, message_id="mine")
    [(properties, arrived)] = quorum_queue.take_all()
    assert (properties.message_id, arrived == body) == ("mine", True)


def test_many_tasks_arrive_once_each_and_in_order(task_queue: TaskQueue, publisher_for: MakePublisher) -> None:
    sent = [str(number).encode() for number in range(2500)]
    heard: list[int] = []
    assert publisher_for(task_queue).publish_many(iter(sent), progress=heard.append) == 2500
    assert heard[-1] == 2500
    assert bodies(task_queue) == sent


@pytest.mark.any_rabbitmq
def test_several_threads_may_publish_at_once(task_queue: TaskQueue, publisher_for: MakePublisher) -> None:
    publisher = publisher_for(task_queue, PublisherSettings(window=10))
    ids: list[str] = []

    def work(name: int) -> None:
        ids.extend(publisher.publish(f"{name}-{number}".encode()) for number in range(50))
        publisher.publish_many(f"{name}+{number}".encode() for number in range(50))

    threads = [in_background(partial(work, name)) for name in range(8)]
    for thread, errors in threads:
        thread.join()
        assert errors == []
    assert len(set(ids)) == 400
    wanted = {f"{name}{sign}{number}".encode() for name in range(8) for sign in "-+" for number in range(50)}
    arrived = bodies(task_queue)
    assert len(arrived) == 800
    assert set(arrived) == wanted


@pytest.mark.any_rabbitmq
def test_a_future_has_the_id_once_the_task_is_confirmed(quorum_queue: TaskQueue, publisher_for: MakePublisher) -> None:
    publisher = publisher_for(quorum_queue)
    futures = [publisher.submit(Task(b"x", f"id-{number}")) for number in range(20)]
    assert [future.result(30) for future in futures] == [f"id-{number}" for number in range(20)]
    assert len(quorum_queue.take_all()) == 20


@pytest.mark.any_rabbitmq
def test_headers_that_amqp_cannot_carry_fail_their_caller_only(
    quorum_queue: TaskQueue, publisher_for: MakePublisher
) -> None:
    publisher = publisher_for(quorum_queue)
    with pytest.raises(ValueError, match="AMQP cannot carry"):
        publisher.publish(b"bad", headers={"object": object()})
    with pytest.raises(ValueError, match="AMQP cannot carry"):
        publisher.publish(b"bad", message_id="x" * 256)
    with pytest.raises(TypeError, match="body must be bytes, not str"):
        publisher.publish("text")  # type: ignore[arg-type]  # a caller without types
    publisher.publish(b"good")
    assert bodies(quorum_queue) == [b"good"]


def test_a_message_that_the_broker_closes_the_channel_for_fails_alone(
    task_queue: TaskQueue, publisher_for: MakePublisher
) -> None:
    publisher = publisher_for(task_queue)
    futures = {
        str(n): publisher.submit(Task(str(n).encode(), headers={"CC": "no list"} if n == 7 else {})) for n in range(20)
    }
    with pytest.raises(NotConfirmed, match="CC") as raised:
        futures.pop("7").result(60)
    assert [task.body for task in raised.value.tasks] == [b"7"]
    for future in futures.values():
        future.result(60)
    assert {body.decode() for body in bodies(task_queue)} == set(futures)


def test_a_deleted_queue_is_made_again_and_loses_no_task(task_queue: TaskQueue, publisher_for: MakePublisher) -> None:
    publisher = publisher_for(task_queue)
    publisher.publish(b"before")
    task_queue.delete()
    publisher.publish_many(str(number).encode() for number in range(100))
    assert sorted(map(int, bodies(task_queue))) == list(range(100))


def test_a_queue_that_no_user_may_make_is_an_error_that_names_it(
    task_queue: TaskQueue, publisher_for: MakePublisher
) -> None:
    publisher = publisher_for(task_queue, PublisherSettings(create=False))
    publisher.publish(b"there")
    task_queue.delete()
    with pytest.raises(NotConfirmed, match="queue task_queue is missing") as raised:
        publisher.publish(b"lost?", message_id="mine")
    assert raised.value.tasks == (Task(b"lost?", "mine"),)
    assert isinstance(raised.value.__cause__, QueueMissing)


def test_a_missing_queue_is_reported_at_the_first_task(rabbitmq: RabbitMQServer, publisher_for: MakePublisher) -> None:
    queue = TaskQueue(rabbitmq, rabbitmq.new_vhost(), QueueType.QUORUM, "nowhere")
    with pytest.raises(NotConfirmed, match="no queue 'nowhere'") as raised:
        publisher_for(queue, PublisherSettings(create=False)).publish(b"x", timeout=60)
    assert isinstance(raised.value.__cause__, QueueMissing)


def test_a_queue_of_another_type_is_reported_at_once_with_the_remedy(
    task_queue: TaskQueue, publisher_for: MakePublisher
) -> None:
    other = next(kind for kind in QueueType if kind is not task_queue.type)
    with pytest.raises(NotConfirmed, match=r"\(QUEUE_TYPE, spec.queue.type\) to its type") as raised:
        publisher_for(replace(task_queue, type=other)).publish(b"x", timeout=60)
    assert isinstance(raised.value.__cause__, QueueMismatch)


def test_a_wrong_password_is_reported_at_once_and_not_shown(
    quorum_queue: TaskQueue, publisher_for: MakePublisher
) -> None:
    address = replace(quorum_queue.server.address(quorum_queue.vhost), password="hush-hush")
    with pytest.raises(NotConfirmed, match="refuses this user, password") as raised:
        publisher_for(quorum_queue, address=address).publish(b"x", timeout=60)
    assert isinstance(raised.value.__cause__, AccessRefused)
    assert "hush" not in repr(raised.value) + str(raised.value.__cause__)


def test_a_full_queue_holds_the_publisher_back_until_there_is_room(
    task_queue: TaskQueue, publisher_for: MakePublisher
) -> None:
    full_after(task_queue, 5)
    publisher = publisher_for(task_queue)
    seen: list[int] = []
    thread, errors = in_background(
        lambda: publisher.publish_many((str(n).encode() for n in range(30)), timeout=60, progress=seen.append)
    )
    arrived: set[bytes] = set()

    def drained() -> bool:
        arrived.update(bodies(task_queue))
        return len(arrived) == 30

    wait_until(drained, 60, "every task came through the full queue")
    thread.join()
    assert errors == []
    assert seen[-1] == 30


def test_a_queue_that_stays_full_is_an_error_that_names_the_message_and_says_so(
    task_queue: TaskQueue, publisher_for: MakePublisher
) -> None:
    full_after(task_queue, 2)
    publisher = publisher_for(task_queue)

    def fill() -> None:
        for number in range(20):  # a quorum queue lets a few more in than its limit
            publisher.publish(b"x", message_id="not-this-one" if number else "first", timeout=2)

    with pytest.raises(NotConfirmed, match=r"queue task_queue is full.* not-this-one") as raised:
        fill()
    assert raised.value.tasks == (Task(b"x", "not-this-one"),)


@pytest.mark.once
def test_a_connection_that_is_closed_loses_nothing(task_queue: TaskQueue, publisher_for: MakePublisher) -> None:
    publisher = publisher_for(task_queue)
    closed = 0

    def tasks() -> Iterator[bytes]:
        nonlocal closed
        for number in range(900):
            if number % 300 == 150:
                task_queue.close_connections()
                closed += 1
            yield str(number).encode()

    publisher.publish_many(tasks())
    assert closed == 3
    taken = task_queue.take_all()
    assert {int(body) for _, body in taken} == set(range(900))
    by_id = {properties.message_id: body for properties, body in taken}
    assert len(by_id) == 900  # a task that came twice came under the same id


@pytest.mark.once
@pytest.mark.kills
def test_a_broker_that_is_killed_again_and_again_loses_no_confirmed_task(
    own_task_queue: TaskQueue, publisher_for: MakePublisher, rounds: int
) -> None:
    server = own_task_queue.server
    publisher = publisher_for(own_task_queue)
    confirmed: list[str] = []
    enough = threading.Event()

    def work() -> None:
        while not enough.is_set():
            confirmed.append(publisher.publish(uuid.uuid4().bytes, timeout=120))

    def more_than(count: int) -> Callable[[], bool]:
        return lambda: len(confirmed) > count

    workers = [in_background(work) for _ in range(4)]
    for _ in range(2 * rounds):
        wait_until(more_than(len(confirmed) + 200), 60, "tasks are confirmed")
        server.kill()
        server.start()
    enough.set()
    for thread, errors in workers:
        thread.join()
        assert errors == []
    assert set(confirmed) <= {properties.message_id for properties, _ in own_task_queue.take_all()}


def test_an_alarm_of_the_broker_holds_the_publisher_back_and_bounds_what_it_takes(
    own_quorum_queue: TaskQueue, publisher_for: MakePublisher
) -> None:
    server = own_quorum_queue.server
    publisher = publisher_for(own_quorum_queue, PublisherSettings(window=20))
    publisher.publish(b"before")
    server.set_memory_alarm(True)
    taken: list[int] = []

    def tasks() -> Iterator[bytes]:
        for number in range(200):
            taken.append(number)
            yield str(number).encode()

    thread, errors = in_background(lambda: publisher.publish_many(tasks(), timeout=120))
    with pytest.raises(NotConfirmed, match="the broker blocks publishers: low on memory"):
        publisher.publish(b"too late", timeout=2)
    assert len(taken) <= 21  # the window, and the one that waits for room
    server.set_memory_alarm(False)
    thread.join()
    assert errors == []
    assert [body for body in bodies(own_quorum_queue) if body != b"too late"] == [
        b"before",
        *(str(number).encode() for number in range(200)),
    ]


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("trouble", ["blocked", "frozen", "full"])
def test_each_of_many_threads_hears_by_its_timeout_what_became_of_its_task(
    own_quorum_queue: TaskQueue, publisher_for: MakePublisher, trouble: str
) -> None:
    queue, server = own_quorum_queue, own_quorum_queue.server
    publishers = [publisher_for(queue, PublisherSettings(window=window)) for window in (3, 1000)]
    for publisher in publishers:
        publisher.publish(b"before")
    confirmed: set[str] = set()
    failed: set[str] = set()

    def publish(publisher: Publisher, message_id: str) -> None:
        try:
            confirmed.add(publisher.publish(b"x", message_id=message_id, timeout=2))
        except NotConfirmed as error:
            failed.update(str(task.message_id) for task in error.tasks)

    troubles: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        "blocked": (lambda: server.set_memory_alarm(True), lambda: server.set_memory_alarm(False)),
        "frozen": (server.freeze, server.thaw),
        "full": (lambda: full_after(queue, 10), lambda: full_after(queue, 1000)),
    }
    begin, end = troubles[trouble]
    begin()
    try:
        threads = [
            in_background(partial(publish, publisher, f"{which}-{n}"))
            for which, publisher in enumerate(publishers)
            for n in range(30)
        ]
        for thread, errors in threads:
            thread.join(60)
            assert not thread.is_alive()
            assert errors == []
    finally:
        end()
    assert failed
    assert confirmed.isdisjoint(failed)
    assert confirmed | failed == {f"{which}-{n}" for which in range(2) for n in range(30)}
    for publisher in publishers:
        publisher.publish(b"after", timeout=60)
        assert publisher.flush(60)
    assert confirmed <= {properties.message_id for properties, _ in queue.take_all()}


@pytest.mark.any_rabbitmq
def test_a_connection_that_is_blocked_for_too_long_is_given_up_and_its_messages_go_over_a_new_one(
    own_quorum_queue: TaskQueue,
) -> None:
    server = own_quorum_queue.server
    metrics = QueueMetrics(PublisherMetrics(None), "task_queue")
    queue = QueueDeclaration("task_queue")
    link = Link(LinkSettings(server.address(), queue, True, "test", 10, 1000, blocked_timeout=1), metrics)
    try:
        server.set_memory_alarm(True)
        receipt = TaskFuture(Callbacks(), waited_for=True)
        link.outbox.offer(Message(Task(b"x"), "mine", message_properties(Task(b"x"), "mine"), receipt, 0.0), 0)
        wait_until(
            lambda: metrics.resent[ResendCause.CONNECTION]._value.get() >= 2, 60, "two connections were given up"
        )
        assert not receipt.done()
        server.set_memory_alarm(False)
        assert receipt.result(60) == "mine"
    finally:
        link.outbox.close()
        link.stop()
    # After the alarm the broker reads what was sent over each connection that was given up: more than one, of one id.
    assert {properties.message_id for properties, _ in own_quorum_queue.take_all()} == {"mine"}


@pytest.mark.any_rabbitmq
def test_a_broker_that_is_away_is_an_error_within_the_timeout_and_the_task_is_not_sent_later(
    own_quorum_queue: TaskQueue, publisher_for: MakePublisher
) -> None:
    publisher = publisher_for(own_quorum_queue)
    publisher.publish(b"before")
    own_quorum_queue.server.stop()
    with pytest.raises(NotConfirmed, match="given-up") as raised:
        publisher.publish(b"x", message_id="given-up", timeout=1)
    with pytest.raises(NotConfirmed, match="no confirm for 1 s") as many:
        publisher.publish_many([b"1", b"2", b"3"], timeout=1)
    assert [task.body for task in many.value.tasks] == [b"1", b"2", b"3"]
    own_quorum_queue.server.start()
    publisher.publish(b"after", timeout=60)
    assert bodies(own_quorum_queue) == [b"before", b"after"]
    publisher.publish_many(many.value.tasks)
    publisher.publish_many(raised.value.tasks)
    assert {properties.message_id for properties, _ in own_quorum_queue.take_all()} == {
        "given-up",
        *(task.message_id for task in many.value.tasks),
    }


@pytest.mark.any_rabbitmq
def test_a_publisher_may_be_made_before_its_broker_is_there(
    own_quorum_queue: TaskQueue, publisher_for: MakePublisher
) -> None:
    own_quorum_queue.server.stop()
    publisher = publisher_for(own_quorum_queue)
    future = publisher.submit(b"early")
    own_quorum_queue.server.start()
    future.result(60)
    assert bodies(own_quorum_queue) == [b"early"]


@pytest.mark.any_rabbitmq
def test_closing_waits_for_the_confirms_and_fails_what_has_none(own_quorum_queue: TaskQueue) -> None:
    queue = own_quorum_queue
    declaration = QueueDeclaration(queue.name, queue.type)
    with Publisher(queue.server.address(), declaration) as publisher:
        futures = [publisher.submit(b"x") for _ in range(100)]
    assert all(future.done() for future in futures)
    assert len(queue.take_all()) == 100
    with pytest.raises(PublisherClosed):
        publisher.publish(b"x")
    queue.server.stop()
    publisher = Publisher(queue.server.address(), declaration)
    future = publisher.submit(Task(b"x", "left"))
    publisher.close(timeout=0)
    with pytest.raises(NotConfirmed, match="the publisher was closed; ids: left"):
        future.result(0)


@pytest.mark.any_rabbitmq
def test_closing_while_the_broker_blocks_ends_soon(own_quorum_queue: TaskQueue) -> None:
    publisher = Publisher(own_quorum_queue.server.address(), QueueDeclaration("task_queue"))
    publisher.publish(b"before")
    own_quorum_queue.server.set_memory_alarm(True)
    future = publisher.submit(b"x")
    thread, errors = in_background(lambda: publisher.close(timeout=0.5))
    thread.join(30)
    assert not thread.is_alive()
    assert errors == []
    with pytest.raises(NotConfirmed):
        future.result(0)


@pytest.mark.any_rabbitmq
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_publisher_from_before_a_fork_says_so(quorum_queue: TaskQueue, publisher_for: MakePublisher) -> None:
    publisher = publisher_for(quorum_queue)
    publisher.publish(b"parent")
    child = os.fork()
    if child == 0:
        try:
            publisher.publish(b"child", timeout=5)
        except PublisherClosed:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.any_rabbitmq
def test_the_metrics_say_what_was_confirmed_and_what_was_not(quorum_queue: TaskQueue) -> None:
    registry = CollectorRegistry()
    metrics = PublisherMetrics(registry)
    address = quorum_queue.server.address(quorum_queue.vhost)

    def value(name: str, **labels: str) -> float:
        found = registry.get_sample_value(f"workqueue_producer_{name}", {"queue": "task_queue", **labels})
        assert found is not None
        return found

    with Publisher(address, QueueDeclaration("task_queue"), metrics=metrics) as publisher:
        publisher.publish_many([b"x"] * 100)
        assert value("tasks_confirmed_total") == 100
        assert value("broker_connected") == 1
        assert value("tasks_unsettled") == 0
        assert value("confirm_seconds_count") >= 1
        full_after(quorum_queue, 1)
        with pytest.raises(NotConfirmed):
            publisher.publish(b"no", timeout=2)
        assert value("tasks_resent_total", cause="rejected") >= 1
    assert value("tasks_unconfirmed_total") == 1
    assert value("broker_connected") == 0


@pytest.mark.any_rabbitmq
def test_two_publishers_of_a_process_share_their_metrics(rabbitmq: RabbitMQServer) -> None:
    registry = CollectorRegistry()
    metrics = PublisherMetrics(registry)
    address = rabbitmq.address(rabbitmq.new_vhost())
    for name in ("one", "two"):
        with Publisher(address, QueueDeclaration(name), metrics=metrics) as publisher:
            publisher.publish(b"x")
    for name in ("one", "two"):
        assert registry.get_sample_value("workqueue_producer_tasks_confirmed_total", {"queue": name}) == 1
