"""Failed tasks whose copy the broker refuses: for what the task is, or for who the worker is."""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from workqueue_broker.address import BrokerAddress
from workqueue_broker.declaration import QueueType
from workqueue_worker.amqp import DeadLetterQueue
from workqueue_worker.settlement import DELIVERY_LIMIT, FRESH_COPY_AT, LAST_COUNT

from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import Ledger, TaskQueue
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, WorkerProcess

FAST = ("--retry-max-delay", "0.05")
#: With these a message just fits into a frame of 131072 bytes, and none of our own headers beside them.
FULL_HEADERS = {"x-exception-stacktrace": "x" * 130_900, "traceparent": "00-1-2-01"}


@contextmanager
def max_message_size(server: RabbitMQServer, size: int) -> Iterator[None]:
    """As after an upgrade to a version with a lower default (RabbitMQ 4.0: 16 MiB)."""
    before = server.evaluate("rabbit_misc:get_env(rabbit, max_message_size, 16777216)")
    for value in (str(size), before):
        server.evaluate(f"persistent_term:put(max_message_size, {value})")
        server.evaluate(f"application:set_env(rabbit, max_message_size, {value})")
        if value != before:
            yield


def is_held(worker: WorkerProcess, *words: str) -> bool:
    status, text = worker.get("/readyz")
    return status == 503 and all(word in text for word in words)


def test_a_rejected_task_whose_headers_fill_a_frame_is_dead_lettered_without_the_largest(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    worker = start_worker(quorum_queue, "by_body").ready()
    quorum_queue.send("reject no", headers=FULL_HEADERS, ids=["big"], correlation_id="c")
    quorum_queue.send("ok")
    worker.wait_for_metric("tasks_acked_total", 1)
    ((properties, body),) = quorum_queue.dead.take_all()
    assert (properties.message_id, properties.correlation_id, body) == ("big", "c", b"reject no")
    assert properties.headers["x-workqueue-left-out"] == "x-exception-stacktrace"
    assert properties.headers["traceparent"] == "00-1-2-01"
    assert properties.headers["x-workqueue-error"] == "no"
    assert "x-exception-stacktrace" not in properties.headers


def test_where_the_broker_counts_a_task_that_no_copy_can_be_made_of_gets_its_attempts_with_all_headers(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    worker = start_worker(quorum_queue, "needs_all_headers", *FAST, "--max-attempts", "3").ready()
    quorum_queue.send("x", headers=FULL_HEADERS)
    worker.wait_for_metric('tasks_dead_lettered_total{reason="attempts_exhausted"}', 1)
    assert [(line["outcome"], line["attempt"]) for line in worker.outcomes] == [
        ("returned", 1),
        ("returned", 2),
        ("dead-lettered: attempts_exhausted", 3),
    ]
    assert worker.metric('tasks_failed_total{reason="exception"}') == 3


def test_where_nothing_counts_a_failed_task_that_no_copy_can_be_made_of_is_dead_lettered(
    rabbitmq: RabbitMQServer, start_worker: StartWorker
) -> None:
    queue = TaskQueue(rabbitmq, rabbitmq.new_vhost(), QueueType.CLASSIC).declare()
    worker = start_worker(queue, "by_body", *FAST).ready()
    queue.send("fail x", headers=FULL_HEADERS)
    worker.wait_for_metric('tasks_dead_lettered_total{reason="attempts_exhausted"}', 1)
    ((properties, _body),) = queue.dead.take_all()
    assert properties.headers["x-workqueue-attempts"] == 1
    assert "no further attempt" in properties.headers["x-workqueue-error"]


def test_a_task_that_kills_its_workers_is_dead_lettered_before_the_broker_deletes_it_whatever_its_headers(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    """RabbitMQ 4 deletes it at the 21st return; the copy that would start at zero cannot be made."""
    quorum_queue.send("die", headers=FULL_HEADERS)
    with quorum_queue.channel() as channel:
        for _ in range(LAST_COUNT - 1):
            tag = wait_until(lambda: channel.basic_get(quorum_queue.name)[0], 30, "it is there").delivery_tag
            channel.basic_nack(tag, requeue=True)
    assert start_worker(quorum_queue, "by_body", "--max-attempts", "1000").exit_code() == 137
    worker = start_worker(quorum_queue, "by_body", "--max-attempts", "1000").ready()
    worker.wait_for_metric('tasks_dead_lettered_total{reason="crashed"}', 1)
    quorum_queue.dead.wait_for_counts(1, 0)
    assert len(ledger()) == 1


def test_the_brokers_delivery_limit_deletes_no_task_whose_dead_letter_cannot_be_published(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    """Its dead-letter queue is missing: each worker that leaves or dies with it returns it, and RabbitMQ 4 counts."""
    quorum_queue.send("reject no", ids=["held"])
    with quorum_queue.channel() as channel:
        for _ in range(FRESH_COPY_AT):
            method = wait_until(lambda: channel.basic_get("task_queue")[0], 30, "it is back in its queue")
            channel.basic_nack(method.delivery_tag, requeue=True)
    worker = start_worker(quorum_queue, "by_body", "--declare", "Never")
    wait_until(lambda: is_held(worker, "task held", "no queue 'task_queue.dead'"), 30, "it is held in sight")
    worker.terminate()
    assert worker.exit_code() == 0
    quorum_queue.wait_for_counts(1, 0)
    ((properties, _body),) = quorum_queue.take_all()
    assert properties.headers["x-workqueue-attempts"] == FRESH_COPY_AT
    assert properties.headers.get("x-delivery-count", 0) <= 1
    assert ledger() == []


def nested_too_deeply() -> bytes:
    """A header table that RabbitMQ takes and no Python program can read; a name before those that the broker adds."""
    value = b"V"
    for _ in range(2000):
        value = b"A" + struct.pack(">I", len(value)) + value
    return b"\x04deep" + value


def send_unreadable(queue: TaskQueue) -> None:
    queue.send_table(nested_too_deeply(), b"reject no", "held")


def send_with_full_headers(queue: TaskQueue) -> None:
    queue.send("reject no", ids=["held"], headers=FULL_HEADERS)


def return_often(queue: TaskQueue, times: int) -> None:
    """As so many workers that ended with the task."""
    waiting = DeadLetterQueue(BrokerAddress.from_environment({"AMQP_URL": queue.uri}), "returns", queue.name)
    for _ in range(times):
        wait_until(waiting.take, 30, "it is back in its queue")
        waiting.put_back()
    waiting.close()


@pytest.mark.parametrize("send", [send_unreadable, send_with_full_headers])
def test_a_task_whose_dead_letter_cannot_be_published_waits_in_its_own_queue_whatever_its_headers(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger, send: Callable[[TaskQueue], None]
) -> None:
    """RabbitMQ 4 deletes at the 21st return what has no copy in its place; its count may be in what cannot be read."""
    send(quorum_queue)
    return_often(quorum_queue, LAST_COUNT)
    for _ in range(3):  # workers that take it, hold it and are asked to leave
        worker = start_worker(quorum_queue, "by_body", "--declare", "Never")
        wait_until(partial(is_held, worker, "task held", "no queue 'task_queue.dead'"), 60, "it is held")
        worker.terminate()
        assert worker.exit_code() == 0
        quorum_queue.wait_for_counts(1, 0)
    quorum_queue.dead.declare()
    worker = start_worker(quorum_queue, "by_body", "--declare", "Never").ready()
    wait_until(lambda: quorum_queue.dead.counts() == (1, 0), 30, "it is dead-lettered after all")
    ((properties, body),) = quorum_queue.dead.take_all()
    assert (properties.message_id, body) == ("held", b"reject no")
    assert properties.headers["x-workqueue-reason"] in ("rejected", "crashed")
    assert "x-workqueue-dead-letter-waits" not in properties.headers
    assert worker.metric('tasks_failed_total{reason="crashed"}') == 0
    assert ledger() == []


def test_a_worker_that_may_not_write_takes_no_task_and_says_which_permission_it_needs(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    """A task that it took and that failed would be returned at each restart, until RabbitMQ 4 deletes it."""
    quorum_queue.dead.declare()
    quorum_queue.send("ok")
    uri = quorum_queue.set_permissions(write="^$")
    worker = start_worker(quorum_queue, "by_body", AMQP_URL=uri)
    wait_until(lambda: is_held(worker, "ACCESS_REFUSED", "write permission on exchange 'amq.default'"), 30, "it says")
    assert quorum_queue.counts() == (1, 0)
    assert ledger() == []
    quorum_queue.set_permissions()
    worker.wait_for_metric("tasks_acked_total", 1)
    assert worker.metric("tasks_redelivered_total") == 0


def test_a_task_held_for_want_of_a_permission_shows_and_stops_no_shutdown(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    uri = quorum_queue.set_permissions()
    worker = start_worker(quorum_queue, "by_body", *FAST, "--concurrency", "2", AMQP_URL=uri).ready()
    quorum_queue.set_permissions(write="^$")
    quorum_queue.send("reject no", ids=["held"])
    wait_until(lambda: is_held(worker, "task held", "write permission on exchange 'amq.default'"), 30, "it says so")
    wait_until(lambda: not quorum_queue.is_consumed(), 30, "it has cancelled its consumer")
    quorum_queue.send("ok", ids=["next"])
    assert worker.metric("tasks_in_progress") == 1
    worker.terminate()
    assert worker.exit_code() == 0
    quorum_queue.wait_for_counts(2, 0)
    assert [line.id for line in ledger()] == ["held"]
    assert ("held", "handed back") in [(line["id"], line["outcome"]) for line in worker.outcomes]
    assert any("task held: its copy" in str(line.get("message")) for line in worker.log if line["level"] == "error")


def test_when_the_permission_comes_back_the_held_task_is_dead_lettered_and_others_are_taken(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    uri = quorum_queue.set_permissions()
    worker = start_worker(quorum_queue, "by_body", *FAST, AMQP_URL=uri).ready()
    quorum_queue.set_permissions(write="^$")
    quorum_queue.send("reject no", ids=["held"])
    wait_until(lambda: is_held(worker, "task held"), 30, "it is held")
    quorum_queue.send("ok", ids=["next"])
    quorum_queue.set_permissions()
    worker.wait_for_metric('tasks_dead_lettered_total{reason="rejected"}', 1)
    worker.wait_for_metric("tasks_acked_total", 1)
    worker.ready()


@pytest.mark.parametrize("type_", list(QueueType))
def test_a_body_that_the_broker_no_longer_takes_is_held_in_sight_and_dead_lettered_whole_once_it_does(
    own_rabbitmq: RabbitMQServer, start_worker: StartWorker, type_: QueueType
) -> None:
    queue = TaskQueue(own_rabbitmq, own_rabbitmq.default_vhost, type_).declare()
    queue.send("reject " + "x" * 5000, ids=["large"], headers={"kept": "yes"})
    with max_message_size(own_rabbitmq, 1000):
        worker = start_worker(queue, "by_body", *FAST)
        wait_until(lambda: is_held(worker, "task large", "message size"), 30, "it is held")
        queue.wait_for_counts(0, 1)
    worker.wait_for_metric('tasks_dead_lettered_total{reason="rejected"}', 1)
    ((properties, _body),) = queue.dead.take_all()
    assert properties.headers["kept"] == "yes"
    worker.ready()


def test_a_body_that_no_copy_can_carry_shows_how_near_the_limit_it_is_and_a_policy_dead_letters_it_there(
    own_quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    """What docs/limits.md says: no worker can keep it, as each worker that ends returns it; the broker can move it."""
    queue = own_quorum_queue
    queue.dead.declare()
    dead = {"dead-letter-exchange": "", "dead-letter-routing-key": queue.dead.name, "delivery-limit": DELIVERY_LIMIT}
    queue.set_policy("limits", dead | {"dead-letter-strategy": "at-least-once", "overflow": "reject-publish"})
    queue.send("reject " + "x" * 5000, ids=["large"])
    with max_message_size(queue.server, 1000):
        return_often(queue, DELIVERY_LIMIT)
        worker = start_worker(queue, "by_body", *FAST)
        wait_until(lambda: is_held(worker, "task large", "message size", "returned 20 times"), 30, "it is held")
        worker.terminate()
        assert worker.exit_code() == 0
        wait_until(lambda: queue.dead.counts() == (1, 0), 30, "the broker has moved it")
    ((properties, body),) = queue.dead.take_all()
    assert (properties.message_id, len(body)) == ("large", 5007)


def test_a_worker_starts_while_an_alarm_blocks_all_who_publish(
    own_quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    """It asks whether it may publish before it takes a task, and an alarm leaves that without an answer."""
    own_quorum_queue.send("ok")
    own_quorum_queue.server.set_memory_alarm(True)
    worker = start_worker(own_quorum_queue, "by_body").ready()
    worker.wait_for_metric("tasks_acked_total", 1)
    own_quorum_queue.server.set_memory_alarm(False)
