"""What a worker does with tasks while nothing fails, and with bodies and handlers that no user would wish for."""

import time
from importlib.metadata import version
from pathlib import Path

import pika
import pytest

from tests.support.described import DESCRIBED
from tests.support.task_queue import Ledger, TaskQueue
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker

IDENTITY = ("tasks_acked_total", "tasks_acks_lost_total", "tasks_in_progress")


def settled(metrics: dict[str, float]) -> float:
    """The sum of what a delivery can become."""
    counted = [value for name, value in metrics.items() if name.startswith(("tasks_requeued_", "tasks_dead_lettered_"))]
    return sum(counted) + sum(metrics[name] for name in IDENTITY)


@pytest.mark.any_rabbitmq
def test_the_tutorials_worker_prints_its_lines_and_works_a_second_for_each_dot(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    worker = start_worker(quorum_queue).ready()
    quorum_queue.send("First message.", "no dots")
    worker.wait_for_metric("tasks_acked_total", 2)
    assert worker.output.splitlines() == [
        " [*] Waiting for messages. To exit press CTRL+C",
        " [x] Received 'First message.'",
        " [x] Done",
        " [x] Received 'no dots'",
        " [x] Done",
    ]
    first, second = worker.outcomes
    assert (first["id"], first["attempt"], first["outcome"]) == ("m0", 1, "done")
    assert float(first["seconds"]) >= 1 > float(second["seconds"])


@pytest.mark.any_rabbitmq
def test_every_series_is_there_from_the_start_at_zero(quorum_queue: TaskQueue, start_worker: StartWorker) -> None:
    metrics = start_worker(quorum_queue, None, "--concurrency", "3").ready().metrics()
    info = f'worker_info{{handler="tutorial",version="{version("workqueue")}"}}'
    found = {name: value for name, value in metrics.items() if value}
    assert found == {"broker_connected": 1, "worker_slots": 3, info: 1}
    for name in (
        "tasks_received_total",
        "tasks_redelivered_total",
        "tasks_acked_total",
        'tasks_failed_total{reason="timeout"}',
        'tasks_requeued_total{cause="shutdown"}',
        'tasks_dead_lettered_total{reason="rejected"}',
        "tasks_acks_lost_total",
        "tasks_in_progress",
        "task_duration_seconds_count",
        "task_wait_seconds_count",
        "broker_connected",
        "broker_reconnects_total",
        "worker_draining",
        "worker_busy_seconds_total",
    ):
        assert name in metrics


def test_a_message_is_acked_after_the_work_and_not_before(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(task_queue, "until_released").ready()
    task_queue.send("a", "b")
    wait_until(lambda: len(ledger()) == 1, 30, "the task has started")
    task_queue.wait_for_counts(ready=1, unacknowledged=1)
    assert worker.metric("tasks_in_progress") == 1
    (worker.output_file.parent / "release").touch()
    task_queue.wait_for_counts(ready=0, unacknowledged=0)
    worker.wait_for_metric("tasks_acked_total", 2)
    assert worker.metric("tasks_in_progress") == 0


def test_concurrency_is_the_number_of_tasks_in_progress_and_of_messages_taken(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(task_queue, "until_released", "--concurrency", "3").ready()
    task_queue.send(*"abcde")
    wait_until(lambda: len(ledger()) == 3, 30, "three tasks have started")
    task_queue.wait_for_counts(ready=2, unacknowledged=3)
    assert worker.metric("tasks_in_progress") == 3
    worker.wait_for_metric("worker_busy_seconds_total", worker.metric("worker_busy_seconds_total") + 0.1)
    (worker.output_file.parent / "release").touch()
    worker.wait_for_metric("tasks_acked_total", 5)
    assert worker.metric("worker_busy_seconds_total") == worker.metric("worker_busy_seconds_total")
    assert sorted(line.body for line in ledger() if line.word == "done") == list("abcde")


@pytest.mark.any_rabbitmq
def test_many_short_tasks_at_once_are_each_done_once(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(task_queue, "ledger_ok", "--concurrency", "8").ready()
    ids = task_queue.send(*(str(number) for number in range(300)))
    worker.wait_for_metric("tasks_acked_total", 300, seconds=60)
    assert sorted(line.id for line in ledger()) == sorted(ids)
    metrics = worker.metrics()
    assert metrics["tasks_received_total"] == settled(metrics) == 300


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("concurrency", [1, 2])
def test_heartbeats_go_on_through_a_task_of_many_of_them(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger, concurrency: int
) -> None:
    """With a heartbeat of 1 s the broker gives a silent connection up after 2."""
    task = TaskQueue(quorum_queue.server, quorum_queue.vhost, quorum_queue.type)
    worker = start_worker(
        task, "started_and_done", "--concurrency", str(concurrency), AMQP_URL=f"{task.uri}?heartbeat=1"
    ).ready()
    task.send("7")
    worker.wait_for_metric("tasks_acked_total", 1)
    assert worker.metric("broker_reconnects_total") == 0
    assert [line.word for line in ledger()] == ["started", "done"]


@pytest.mark.any_rabbitmq
def test_the_wait_of_a_task_is_measured_from_its_publishing(quorum_queue: TaskQueue, start_worker: StartWorker) -> None:
    before = time.time() - 100
    quorum_queue.send("", headers={"x-workqueue-published-ms": int(before * 1000)})
    worker = start_worker(quorum_queue).ready()
    worker.wait_for_metric("tasks_acked_total", 1)
    metrics = worker.metrics()
    assert metrics["task_wait_seconds_count"] == 1
    assert metrics["task_wait_seconds_sum"] >= 100


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize(
    "body",
    [b"", bytes(range(256)) * 40 * 1024, b"\xff\xfe\x00"],
    ids=["empty", "ten-mebibytes", "not-utf-8"],
)
def test_any_body_reaches_the_handler_as_it_was_sent(
    quorum_queue: TaskQueue, start_worker: StartWorker, tmp_path: Path, body: bytes
) -> None:
    worker = start_worker(quorum_queue, "ledger_ok", LEDGER_BODIES=str(tmp_path / "body")).ready()
    quorum_queue.send(body)
    worker.wait_for_metric("tasks_acked_total", 1)
    assert (tmp_path / "body").read_bytes() == body


@pytest.mark.any_rabbitmq
def test_a_body_that_the_tutorials_handler_cannot_decode_is_dead_lettered_and_not_dropped(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    worker = start_worker(quorum_queue).ready()
    quorum_queue.send(b"\xff\xfe")
    worker.wait_for_metric('tasks_dead_lettered_total{reason="rejected"}', 1)
    ((properties, body),) = quorum_queue.dead.take_all()
    assert body == b"\xff\xfe"
    assert properties.message_id == "m0"


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("body", ["ok", "garbage", "coroutine", "fork", "terminate-child"])
def test_a_handler_that_returns_anything_has_done_its_task(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger, body: str
) -> None:
    worker = start_worker(quorum_queue, "by_body").ready()
    quorum_queue.send(body, "ok")
    worker.wait_for_metric("tasks_acked_total", 2)
    metrics = worker.metrics()
    assert metrics["tasks_received_total"] == settled(metrics) == 2
    expected = {"coroutine": "awaited", "fork": "child-ended", "terminate-child": "child-ended-by-15"}
    if body in expected:
        assert expected[body] in [line.word for line in ledger()]


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("body", ["fail", "base-exception", "exit 3", "unprintable"])
def test_whatever_a_handler_raises_is_a_failed_attempt_and_the_worker_goes_on(
    quorum_queue: TaskQueue, start_worker: StartWorker, body: str
) -> None:
    worker = start_worker(quorum_queue, "by_body", "--max-attempts", "1").ready()
    quorum_queue.send(body, "ok")
    worker.wait_for_metric("tasks_acked_total", 1)
    worker.wait_for_metric('tasks_dead_lettered_total{reason="attempts_exhausted"}', 1)
    assert worker.metric('tasks_failed_total{reason="exception"}') == 1
    assert worker.process.poll() is None


def test_a_handler_that_keeps_the_interpreter_past_the_heartbeats_costs_no_task(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    """The broker gives the connection up; the worker's own finished task comes again, and is not run twice."""
    worker = start_worker(task_queue, "by_body", AMQP_URL=f"{task_queue.uri}?heartbeat=1").ready()
    task_queue.send("hold-interpreter 5", "ok")
    worker.wait_for_metric("tasks_acked_total", 2)
    task_queue.wait_for_counts(0, 0)
    metrics = worker.metrics()
    assert metrics["broker_reconnects_total"] >= 1
    assert metrics["tasks_acks_lost_total"] == 1
    assert metrics["tasks_redelivered_total"] == 1
    assert sorted(line.body for line in ledger()) == ["hold-interpreter 5", "ok"]


@pytest.mark.any_rabbitmq
def test_the_log_has_one_line_for_each_delivery_with_its_trace(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    worker = start_worker(quorum_queue, "by_body", "--max-attempts", "2", "--retry-max-delay", "0.05").ready()
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    quorum_queue.send("fail no luck", "ok", ids=["bad", "good"], headers=trace)
    quorum_queue.dead.wait_for_counts(1, 0)
    worker.wait_for_metric('tasks_dead_lettered_total{reason="attempts_exhausted"}', 1)
    worker.wait_for_metric("tasks_acked_total", 1)
    lines = [(line["id"], line["attempt"], line["outcome"], line.get("detail")) for line in worker.outcomes]
    assert sorted(lines, key=str) == [
        ("bad", 1, "retry", "ValueError: no luck"),
        ("bad", 2, "dead-lettered: attempts_exhausted", "ValueError: no luck"),
        ("good", 1, "done", None),
    ]
    assert {line["traceparent"] for line in worker.outcomes} == set(trace.values())


def test_strange_properties_of_a_foreign_producer_break_nothing(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(task_queue, None, "--", "true").ready()
    task_queue.send(
        *("a", "b", "c"),
        ids=["\x00nul", "", "c"],
        timestamp=2**62,
        headers={
            "x-workqueue-attempts": "many",
            "x-workqueue-published-ms": -1,
            "x-delivery-count": None,
            "deep": {"l": [1]},
        },
    )
    worker.wait_for_metric("tasks_acked_total", 3)
    assert ledger() == []


@pytest.mark.any_rabbitmq
def test_a_failed_attempt_is_logged_with_its_traceback_in_the_same_line(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    worker = start_worker(quorum_queue, "by_body", "--max-attempts", "2", "--retry-max-delay", "0.05").ready()
    quorum_queue.send("fail no luck", "reject no")
    quorum_queue.dead.wait_for_counts(2, 0)
    wait_until(lambda: len(worker.outcomes) == 3, 30, "three lines")
    lines = {str(line["outcome"]): line.get("exception") for line in worker.outcomes}
    assert lines.pop("dead-lettered: rejected") is None
    assert set(lines) == {"retry", "dead-lettered: attempts_exhausted"}
    for text in map(str, lines.values()):
        assert "in _fail\n" in text
        assert text.endswith("ValueError: no luck")
        assert 'handlers.py", line' in text.splitlines()[1]
        assert "workqueue_worker/" not in text


@pytest.mark.any_rabbitmq
def test_a_coroutine_past_its_time_limit_is_cancelled_and_its_worker_goes_on(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(quorum_queue, "by_body", "--task-timeout", "1", "--max-attempts", "1").ready()
    quorum_queue.send("async-sleep 3600", "coroutine")
    worker.wait_for_metric("tasks_acked_total", 1)
    assert worker.metric('tasks_failed_total{reason="timeout"}') == 1
    assert [line.word for line in ledger()] == ["started", "cleaned", "started", "awaited"]
    assert "await asyncio.sleep" in str(worker.outcomes[0]["exception"])
    worker.terminate()
    assert worker.exit_code() == 0


@pytest.mark.any_rabbitmq
def test_a_coroutine_that_ignores_its_cancellation_costs_its_worker(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(quorum_queue, "by_body", "--task-timeout", "0.5", "--max-attempts", "1").ready()
    quorum_queue.send("async-stubborn")
    assert worker.exit_code() == 75
    assert [line.word for line in ledger()] == ["started", "ignored"]
    quorum_queue.dead.wait_for_counts(1, 0)


def test_a_handler_sees_all_properties_of_a_message(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(quorum_queue, "by_body").ready()
    user = quorum_queue.server.user
    quorum_queue.send("described", **DESCRIBED, user_id=user)
    quorum_queue.send("described")
    worker.wait_for_metric("tasks_acked_total", 2)
    bodies = [line.body for line in ledger() if line.word == "described"]
    assert bodies == [f"gzip c1 answers order shop {user} 60000 5", " ".join(["None"] * 8)]


@pytest.mark.any_rabbitmq
def test_a_message_without_an_id_is_named_by_its_correlation_id_in_the_log(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    """As Celery sends them."""
    worker = start_worker(quorum_queue, "by_body").ready()
    with quorum_queue.channel() as channel:
        channel.basic_publish("", quorum_queue.name, b"ok", pika.BasicProperties(correlation_id="celery-1"))
    quorum_queue.send("ok", ids=["m1"], correlation_id="of a reply")
    worker.wait_for_metric("tasks_acked_total", 2)
    assert [(line["id"], line.get("correlation_id")) for line in worker.outcomes] == [(None, "celery-1"), ("m1", None)]
