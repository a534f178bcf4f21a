"""Failed attempts: retried, counted, dead-lettered, alike on both queue types, also when the worker dies of them."""

import datetime
import json
import socket
import struct
from decimal import Decimal
from pathlib import Path

import pytest
from workqueue_worker.amqp import DeadLetterQueue
from workqueue_worker.settlement import FRESH_COPY_AT

from tests.support.task_queue import Ledger, TaskQueue
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker

FAST = ("--retry-max-delay", "0.05")


def test_a_failed_task_is_tried_again_until_it_works(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(task_queue, "by_body", *FAST).ready()
    task_queue.send("fail-until 3")
    worker.wait_for_metric("tasks_acked_total", 1)
    assert [line.attempt for line in ledger() if line.word == "started"] == [1, 2, 3]
    assert worker.metric('tasks_failed_total{reason="exception"}') == 2
    assert worker.metric('tasks_requeued_total{cause="retry"}') == 2
    task_queue.wait_for_counts(0, 0)


def test_a_task_that_always_fails_is_dead_lettered_with_all_that_is_known_of_it(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(task_queue, "by_body", *FAST, "--max-attempts", "3").ready()
    task_queue.send(
        "fail no luck",
        ids=["the-id"],
        headers={"traceparent": "00-1-2-01", "CC": ["task_queue"]},
        content_type="text/plain",
        priority=3,
    )
    task_queue.dead.wait_for_counts(1, 0)
    worker.wait_for_metric('tasks_dead_lettered_total{reason="attempts_exhausted"}', 1)
    ((properties, body),) = task_queue.dead.take_all()
    assert [line.attempt for line in ledger()].count(3) >= 1
    assert body == b"fail no luck"
    assert (properties.message_id, properties.content_type, properties.priority) == ("the-id", "text/plain", 3)
    assert properties.delivery_mode == 2
    headers = properties.headers
    assert headers["traceparent"] == "00-1-2-01"
    assert headers["x-workqueue-reason"] == "attempts_exhausted"
    assert headers["x-workqueue-error"] == "ValueError: no luck"
    assert headers["x-workqueue-attempts"] == 3
    assert headers["x-workqueue-worker"] == socket.gethostname()
    assert headers["x-workqueue-queue"] == task_queue.name
    first, last = (datetime.datetime.fromisoformat(headers[f"x-workqueue-{which}-time"]) for which in ("first", "last"))
    assert first <= last


def test_a_dead_lettered_task_does_not_expire_whatever_the_producer_said(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    worker = start_worker(quorum_queue, "by_body").ready()
    quorum_queue.send("reject x", expiration="60000")
    worker.wait_for_metric('tasks_dead_lettered_total{reason="rejected"}', 1)
    ((properties, _body),) = quorum_queue.dead.take_all()
    assert properties.expiration is None


def test_a_failed_task_that_would_expire_gets_its_attempts_and_is_dead_lettered(
    task_queue: TaskQueue, start_worker: StartWorker
) -> None:
    """The time to live of a copy would start again, and be over before the worker has a free thread."""
    worker = start_worker(task_queue, "by_body", *FAST, "--max-attempts", "3").ready()
    task_queue.send("fail", expiration="0")
    worker.wait_for_metric('tasks_dead_lettered_total{reason="attempts_exhausted"}', 1)
    assert [line["attempt"] for line in worker.outcomes] == [1, 2, 3]
    ((properties, _body),) = task_queue.dead.take_all()
    assert properties.expiration is None


def test_a_dead_lettered_task_that_is_moved_back_by_hand_is_tried_again(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    """As a shovel or the management UI moves it: with every header."""
    worker = start_worker(task_queue, "by_body", *FAST, "--max-attempts", "2").ready()
    task_queue.send("fail")
    worker.wait_for_metric('tasks_dead_lettered_total{reason="attempts_exhausted"}', 1)
    ((properties, body),) = task_queue.dead.take_all()
    task_queue.send(body, headers=properties.headers)
    worker.wait_for_metric('tasks_dead_lettered_total{reason="attempts_exhausted"}', 2)
    assert [line.attempt for line in ledger()] == [1, 2, 1, 2]


def test_headers_left_by_another_queue_do_not_spoil_the_count(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    task_queue.send("die", headers={"x-delivery-count": 7})
    for _ in range(2):
        assert start_worker(task_queue, "by_body", "--max-attempts", "2").exit_code() == 137
    worker = start_worker(task_queue, "by_body", "--max-attempts", "2").ready()
    worker.wait_for_metric('tasks_dead_lettered_total{reason="crashed"}', 1)
    assert [line.attempt for line in ledger()] == [1, 2]


def test_headers_of_every_kind_go_into_the_copy(quorum_queue: TaskQueue, start_worker: StartWorker) -> None:
    headers = {
        "text": "ä",
        "bytes": b"\xff\x00",
        "number": 2**40,
        "negative": -1,
        "true": True,
        "nothing": None,
        "decimal": Decimal("1.25"),
        "time": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        "table": {"list": [1, "two", {"three": 3}]},
    }
    worker = start_worker(quorum_queue, "by_body").ready()
    quorum_queue.send("reject x", headers=headers)
    worker.wait_for_metric('tasks_dead_lettered_total{reason="rejected"}', 1)
    ((properties, _body),) = quorum_queue.dead.take_all()
    assert {name: properties.headers[name] for name in headers} == headers


def field(name: bytes, kind: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + kind + value


MILLISECONDS = field(b"when", b"T", struct.pack(">Q", 1_700_000_000_000))
FRACTION = field(b"score", b"d", struct.pack(">d", 0.7))
NESTED = field(b"\xff", b"F", struct.pack(">I", 4) + b"\x01\xfft\x01")


def test_headers_that_the_library_cannot_read_stop_nothing_and_go_into_the_copy_byte_by_byte(
    quorum_queue: TaskQueue, start_worker: StartWorker, tmp_path: Path
) -> None:
    """A date in milliseconds, a fraction, and names that are no UTF-8. With a command, which gets them as JSON."""
    script = f'printf %s "$TASK_HEADERS" > {tmp_path}/headers; exit "$(cat)"'
    worker = start_worker(quorum_queue, None, "--", "sh", "-c", script).ready()
    quorum_queue.send_table(MILLISECONDS + FRACTION + NESTED, b"65", "strange")
    worker.wait_for_metric('tasks_dead_lettered_total{reason="rejected"}', 1)
    seen = json.loads((tmp_path / "headers").read_text())
    assert (seen["when"], seen["score"], seen["\\xff"]) == (1_700_000_000_000, 0.7, {"\\xff": True})
    dead = DeadLetterQueue(quorum_queue.server.address(quorum_queue.vhost), "test", quorum_queue.dead.name)
    delivery = dead.take()
    dead.close()
    assert delivery is not None
    assert delivery.message_id == "strange"
    for sent in (MILLISECONDS, FRACTION, NESTED):
        assert sent in vars(delivery.properties)["table"]
    quorum_queue.send("0")
    worker.wait_for_metric("tasks_acked_total", 1)
    assert worker.metric("broker_reconnects_total") == 0


def test_a_task_may_have_more_attempts_than_the_broker_lets_it_come_back(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    """RabbitMQ 4 deletes a message of a quorum queue that was returned 20 times: a counted copy starts at zero."""
    quorum_queue.send("")
    with quorum_queue.channel() as channel:
        for _ in range(FRESH_COPY_AT + 2):
            tag = wait_until(lambda: channel.basic_get(quorum_queue.name)[0], 30, "it is there").delivery_tag
            channel.basic_nack(tag, requeue=True)
    worker = start_worker(quorum_queue, "ledger_ok", "--max-attempts", "1000").ready()
    worker.wait_for_metric("tasks_acked_total", 1)
    assert worker.metric('tasks_requeued_total{cause="crash"}') == 1
    assert [line.attempt for line in ledger()] == [FRESH_COPY_AT + 3]


@pytest.mark.any_rabbitmq
def test_a_rejected_task_is_dead_lettered_at_once(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(quorum_queue, "by_body").ready()
    quorum_queue.send("reject cannot be done")
    worker.wait_for_metric('tasks_dead_lettered_total{reason="rejected"}', 1)
    ((properties, _body),) = quorum_queue.dead.take_all()
    assert properties.headers["x-workqueue-error"] == "cannot be done"
    assert len(ledger()) == 1


@pytest.mark.any_rabbitmq
def test_a_handler_may_say_how_long_to_wait_up_to_the_workers_limit(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(quorum_queue, "by_body", *FAST, "--max-attempts", "2").ready()
    quorum_queue.send("retry 3600")
    worker.wait_for_metric('tasks_dead_lettered_total{reason="attempts_exhausted"}', 1)
    assert [line.attempt for line in ledger()] == [1, 2]


@pytest.mark.any_rabbitmq
def test_a_waiting_retry_holds_up_no_task_of_another_slot(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(quorum_queue, "by_body", "--concurrency", "2", "--retry-max-delay", "600").ready()
    quorum_queue.send("retry 600", *["ok"] * 10)
    worker.wait_for_metric("tasks_acked_total", 10)
    assert worker.metric("tasks_in_progress") == 1


def test_a_task_that_kills_its_worker_each_time_is_dead_lettered_in_the_end(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    """Out of memory looks like this: the process is gone, and says nothing."""
    task_queue.send("die")
    for _ in range(3):
        worker = start_worker(task_queue, "by_body", "--max-attempts", "3")
        assert worker.exit_code() == 137
    worker = start_worker(task_queue, "by_body", "--max-attempts", "3").ready()
    worker.wait_for_metric('tasks_dead_lettered_total{reason="crashed"}', 1)
    assert [(line.word, line.attempt) for line in ledger()] == [("started", 1), ("started", 2), ("started", 3)]
    ((properties, _body),) = task_queue.dead.take_all()
    assert properties.headers["x-workqueue-reason"] == "crashed"
    assert properties.headers["x-workqueue-attempts"] == 3
    task_queue.wait_for_counts(0, 0)


def test_a_second_task_that_is_like_a_finished_one_is_run_also_when_a_worker_had_it_before(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    """The help for lost acks must not take one task for another: this worker's ack was not lost."""
    worker = start_worker(quorum_queue, "ledger_ok", "--concurrency", "2").ready()
    quorum_queue.send("work", ids=["same"], timestamp=5)
    worker.wait_for_metric("tasks_acked_total", 1)
    with quorum_queue.channel() as channel:
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(
            quorum_queue.name, lambda *_: None, arguments={"x-priority": 1}
        )  # comes before the worker
        quorum_queue.send("work", ids=["same"], timestamp=5)
        quorum_queue.wait_for_counts(0, 1)
    worker.wait_for_metric("tasks_acked_total", 2)
    assert worker.metric("tasks_redelivered_total") == 1
    assert len(ledger()) == 2


def test_failures_and_crashes_count_together(task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger) -> None:
    task_queue.send("fail-until 2", "die")
    first = start_worker(task_queue, "by_body", *FAST, "--max-attempts", "2")
    assert first.exit_code() == 137
    second = start_worker(task_queue, "by_body", *FAST, "--max-attempts", "2")
    assert second.exit_code() == 137
    third = start_worker(task_queue, "by_body", *FAST, "--max-attempts", "2").ready()
    third.wait_for_metric('tasks_dead_lettered_total{reason="crashed"}', 1)
    attempts = [(line.body, line.attempt) for line in ledger() if line.body == "die"]
    assert attempts == [("die", 1), ("die", 2)]


def test_a_memory_alarm_holds_a_failed_task_and_neither_stops_acks_nor_loses_it(
    own_quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    queue = own_quorum_queue
    worker = start_worker(queue, "by_body", *FAST, "--max-attempts", "1", "--concurrency", "2").ready()
    queue.send("release-then-fail", *["await-release"] * 20)
    wait_until(lambda: len(ledger()) == 2, 30, "the first two have started")
    queue.server.set_memory_alarm(True)
    (worker.output_file.parent / "release").touch()
    worker.wait_for_metric("tasks_acked_total", 20)
    worker.wait_for_metric('tasks_failed_total{reason="exception"}', 1)
    queue.wait_for_counts(0, 1)
    assert worker.metric("tasks_in_progress") == 1
    assert (
        "holding a failed task: task m0: its copy to queue 'task_queue.dead' is not confirmed yet"
        in worker.get("/readyz")[1]
    )
    worker.wait_for_metric("tasks_held", 1)
    assert worker.get("/readyz")[0] == 200, "the other slot works"
    queue.server.set_memory_alarm(False)
    worker.wait_for_metric('tasks_dead_lettered_total{reason="attempts_exhausted"}', 1, seconds=60)
    queue.dead.wait_for_counts(1, 0)
    queue.wait_for_counts(0, 0)


def test_a_worker_whose_every_slot_holds_a_failed_task_is_not_ready_and_says_why_until_the_copy_is_taken(
    task_queue: TaskQueue, start_worker: StartWorker
) -> None:
    task_queue.dead.declare()
    task_queue.dead.set_policy("full", {"max-length": 1, "overflow": "reject-publish"})
    wait_until(task_queue.dead.refuses, 30, "the dead-letter queue is full")
    worker = start_worker(task_queue, "by_body").ready()
    task_queue.send("reject no", ids=["bad"])
    wait_until(lambda: worker.get("/readyz")[0] == 503, 30, "it is not ready")
    text = worker.get("/readyz")[1]
    assert "every slot holds a failed one; holding a failed task: task bad: its copy to queue 'task_queue.dead'" in text
    assert "it is full, or lacks a majority" in text
    assert worker.metric("tasks_held") == worker.metric("worker_slots") == 1
    wait_until(lambda: any("every slot" in str(line.get("message")) for line in worker.log), 30, "the log says so too")
    task_queue.send("ok")
    task_queue.dead.take_all()
    worker.wait_for_metric("tasks_acked_total", 1)
    worker.ready()
    assert worker.metric("tasks_held") == 0


def test_a_full_queue_that_refuses_the_copy_gets_the_original_back(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    """Limits come by policy; reject-publish refuses copies, and what was given out may always return."""
    task_queue.set_policy("full", {"max-length": 2, "overflow": "reject-publish"})
    task_queue.send("release-then-fail", ids=["bad"])
    worker = start_worker(task_queue, "by_body", *FAST, "--max-attempts", "2").ready()
    wait_until(lambda: len(ledger()) == 1, 30, "the task has started")
    wait_until(task_queue.refuses, 30, "the queue is full")
    (worker.output_file.parent / "release").touch()
    task_queue.dead.wait_for_counts(1, 0)
    worker.wait_for_metric("tasks_acked_total", 2)
    task_queue.wait_for_counts(0, 0)
    first, second = [line for line in worker.outcomes if line["id"] == "bad"][:2]
    assert (first["outcome"], first["attempt"], second["attempt"]) == ("returned", 1, 2)
    assert worker.metric("tasks_redelivered_total") == 1  # a copy would have been new to the broker


def test_without_a_dead_letter_queue_that_may_not_be_made_the_task_is_held_and_said(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    worker = start_worker(quorum_queue, "by_body", "--declare", "Never").ready()
    quorum_queue.send("reject x")
    wait_until(lambda: "no queue 'task_queue.dead'" in worker.get("/readyz")[1], 30, "readiness names the queue")
    quorum_queue.wait_for_counts(0, 1)
    TaskQueue(quorum_queue.server, quorum_queue.vhost, quorum_queue.type, "task_queue.dead").declare()
    worker.wait_for_metric('tasks_dead_lettered_total{reason="rejected"}', 1, seconds=60)
