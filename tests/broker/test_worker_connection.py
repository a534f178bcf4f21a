"""What a worker does when its broker, its connection, its queue or its password goes away, and comes back."""

from functools import partial
from pathlib import Path

import pytest
from workqueue_broker.declaration import QueueType

from tests.support.network_link import NetworkLink
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import Ledger, TaskQueue
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, WorkerProcess


def started(ledger: Ledger, count: int = 1) -> None:
    wait_until(lambda: [line.word for line in ledger()].count("started") >= count, 30, f"{count} tasks have started")


def release(worker: WorkerProcess) -> None:
    (worker.output_file.parent / "release").touch()


def readiness_says(worker: WorkerProcess, words: str, seconds: float = 30) -> None:
    wait_until(lambda: words in worker.get("/readyz")[1], seconds, f"readiness says {words!r}; see {worker.log_file}")
    assert worker.get("/readyz")[0] == 503
    assert worker.get("/healthz")[0] == 200


@pytest.mark.parametrize(("how", "type_"), [("stop", QueueType.QUORUM), ("kill", QueueType.CLASSIC)])
def test_a_broker_restart_in_the_middle_of_a_task_costs_an_ack_and_no_second_run(
    own_rabbitmq: RabbitMQServer, start_worker: StartWorker, ledger: Ledger, how: str, type_: QueueType
) -> None:
    queue = TaskQueue(own_rabbitmq, own_rabbitmq.default_vhost, type_).declare()
    worker = start_worker(queue, "until_released").ready()
    queue.send("a", "b")
    started(ledger)
    getattr(queue.server, how)()
    wait_until(lambda: worker.metric("broker_connected") == 0, 30, "it has lost its broker")
    release(worker)
    worker.wait_for_metric("tasks_acks_lost_total", 1)
    assert [line["outcome"] for line in worker.outcomes] == ["done, ack lost"]
    assert worker.get("/healthz")[0] == 200
    queue.server.start()
    worker.wait_for_metric("tasks_acked_total", 2, seconds=60)
    assert "already done" in [line["outcome"] for line in worker.outcomes]
    queue.wait_for_counts(0, 0)
    assert [(line.word, line.body) for line in ledger()] == [
        *(("started", "a"), ("done", "a")),
        *(("started", "b"), ("done", "b")),
    ]
    assert worker.metric("broker_reconnects_total") == 1


def test_a_task_that_runs_on_through_a_reconnect_is_not_acked_over_the_new_connection(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    """The new connection's first delivery has the same tag: acking it would lose another task."""
    worker = start_worker(task_queue, "until_released", "--concurrency", "2").ready()
    task_queue.send("a")
    started(ledger)
    task_queue.close_connections()
    wait_until(lambda: worker.metric("broker_reconnects_total") == 1, 30, "it has reconnected")
    started(ledger, 2)  # the redelivered one, beside the first run
    release(worker)
    worker.wait_for_metric("tasks_acks_lost_total", 1)
    worker.wait_for_metric("tasks_acked_total", 1)
    task_queue.wait_for_counts(0, 0)
    assert worker.process.poll() is None


def test_a_queue_deleted_under_an_idle_worker_is_made_again_and_consumed(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(task_queue, "ledger_ok").ready()
    task_queue.delete()
    wait_until(lambda: worker.metric("broker_reconnects_total") == 1, 30, "it has noticed")
    task_queue.send("a")
    worker.wait_for_metric("tasks_acked_total", 1)


def test_a_queue_deleted_under_a_task_takes_the_ack_with_it_and_nothing_else(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(task_queue, "until_released").ready()
    task_queue.send("a")
    started(ledger)
    task_queue.delete()
    wait_until(lambda: worker.metric("broker_connected") == 0, 30, "it has noticed")
    readiness_says(worker, "every slot has a task whose connection was lost")
    release(worker)
    worker.wait_for_metric("tasks_acks_lost_total", 1)
    wait_until(lambda: worker.metric("broker_reconnects_total") == 1, 30, "it has made the queue again")
    task_queue.send("b")
    worker.wait_for_metric("tasks_acked_total", 1)


def test_a_worker_that_may_not_make_the_queue_waits_for_it_and_says_so(
    rabbitmq: RabbitMQServer, queue_type: QueueType, start_worker: StartWorker
) -> None:
    queue = TaskQueue(rabbitmq, rabbitmq.new_vhost(), queue_type)
    worker = start_worker(queue, "ledger_ok", "--declare", "Never")
    readiness_says(worker, "no queue 'task_queue'")
    queue.declare()
    worker.ready()


def test_a_queue_of_another_type_is_said_with_the_remedy(task_queue: TaskQueue, start_worker: StartWorker) -> None:
    other = "Classic" if task_queue.type == "Quorum" else "Quorum"
    worker = start_worker(task_queue, "ledger_ok", "--queue-type", other)
    readiness_says(worker, "PRECONDITION_FAILED")
    assert "set --queue-type (QUEUE_TYPE, spec.queue.type) to its type" in worker.get("/readyz")[1]
    task_queue.delete()
    worker.ready()


def test_a_refused_password_is_said_without_it_and_healed_when_the_broker_takes_it(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    server = quorum_queue.server
    uri = f"amqp://someone:s3cret-word@127.0.0.1:{server.amqp_port}/{quorum_queue.vhost}"
    worker = start_worker(quorum_queue, "ledger_ok", AMQP_URL=uri)
    readiness_says(worker, "ACCESS_REFUSED")
    server.management("PUT", "/api/users/someone", {"password": "s3cret-word", "tags": ""})
    readiness_says(worker, "access")  # the virtual host is still refused
    server.management(
        "PUT", f"/api/permissions/{quorum_queue.vhost}/someone", {"configure": ".*", "write": ".*", "read": ".*"}
    )
    worker.ready()
    server.management("DELETE", "/api/users/someone")
    assert "s3cret" not in worker.log_file.read_text() + worker.output + worker.get("/metrics")[1]


@pytest.mark.any_rabbitmq
def test_a_password_that_changes_in_a_mounted_secret_is_read_at_the_next_connection(
    quorum_queue: TaskQueue, start_worker: StartWorker, tmp_path: Path
) -> None:
    server, secret = quorum_queue.server, tmp_path / "secret"
    secret.mkdir()
    for key, value in {
        "host": "127.0.0.1",
        "port": str(server.amqp_port),
        "username": "rotating",
        "password": "first-word",
        "vhost": quorum_queue.vhost,
    }.items():
        (secret / key).write_text(value)
    server.management("PUT", "/api/users/rotating", {"password": "first-word", "tags": ""})
    server.management(
        "PUT", f"/api/permissions/{quorum_queue.vhost}/rotating", {"configure": ".*", "write": ".*", "read": ".*"}
    )
    worker = start_worker(quorum_queue, "ledger_ok", AMQP_SECRET_DIR=str(secret)).ready()
    server.management("PUT", "/api/users/rotating", {"password": "second-word", "tags": ""})
    quorum_queue.close_connections()
    readiness_says(worker, "ACCESS_REFUSED")
    (secret / "password").write_text("second-word")
    worker.ready()
    server.management("DELETE", "/api/users/rotating")


@pytest.mark.any_rabbitmq
def test_an_address_may_come_in_parts_with_the_password_in_a_file(
    quorum_queue: TaskQueue, start_worker: StartWorker, tmp_path: Path
) -> None:
    server = quorum_queue.server
    (tmp_path / "password").write_text(f"{server.password}\n")
    parts = {"HOST": "127.0.0.1", "PORT": str(server.amqp_port), "USERNAME": server.user}
    parts |= {"VHOST": quorum_queue.vhost, "PASSWORD_FILE": str(tmp_path / "password")}
    variables = {f"AMQP_{name}": value for name, value in parts.items()}
    start_worker(quorum_queue, "ledger_ok", place=None, AMQP_URL="", **variables).ready()


@pytest.mark.any_rabbitmq
def test_the_first_host_that_answers_is_taken(quorum_queue: TaskQueue, start_worker: StartWorker) -> None:
    uri = f"amqp://127.0.0.1:1,127.0.0.1:{quorum_queue.server.amqp_port}/{quorum_queue.vhost}"
    start_worker(quorum_queue, "ledger_ok", AMQP_URL=uri).ready()


@pytest.mark.any_rabbitmq
@pytest.mark.slow
def test_a_broker_that_accepts_connections_and_says_nothing_is_waited_for(
    own_quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    """A load balancer before a dead broker looks like this. One worker holds a failed task, one wants to connect."""
    queue = own_quorum_queue
    holding = start_worker(queue, "by_body", "--max-attempts", "1").ready()
    queue.send("release-then-fail")
    started(ledger)
    queue.server.freeze()
    connecting = start_worker(queue, "ledger_ok")
    release(holding)
    for worker in (holding, connecting):
        wait_until(partial(warnings_of, worker), 60, "its handshake has timed out")
        assert worker.process.poll() is None
        assert worker.get("/healthz")[0] == 200
    assert "holding a failed task" in holding.get("/readyz")[1]
    queue.server.thaw()
    connecting.ready()
    queue.dead.wait_for_counts(1, 0, seconds=60)


def warnings_of(worker: WorkerProcess) -> list[object]:
    texts = [record.get("message") for record in worker.log if record.get("level") == "warning"]
    return [text for text in texts if "in hand" not in str(text)]  # but that of the consumer timeout


def test_a_task_longer_than_the_brokers_consumer_timeout_is_still_run_once_by_one_worker(
    own_quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    """The ack of the run is always lost; that of the copy which then comes is lost too if its own time is just over."""
    queue = own_quorum_queue
    with queue.server.setting(consumer_timeout=1500, channel_tick_interval=500):
        worker = start_worker(queue, "started_and_done").ready()
        queue.send("5")
        worker.wait_for_metric("tasks_acked_total", 1, seconds=60)
    assert [line.word for line in ledger()] == ["started", "done"]
    assert worker.metric("tasks_acks_lost_total") >= 1
    assert any("timed out" in str(record.get("message")) for record in worker.log)
    queue.wait_for_counts(0, 0)


def test_a_partition_is_noticed_by_the_heartbeat_and_healed_without_a_second_run(
    link: NetworkLink, rabbitmq_version: str, tmp_path: Path, start_worker: StartWorker, ledger: Ledger
) -> None:
    server = RabbitMQServer(tmp_path / "rabbitmq", rabbitmq_version, listen=link.here).start()
    try:
        queue = TaskQueue(server, "/", QueueType.QUORUM).declare()
        worker = start_worker(queue, "until_released", AMQP_URL=f"{queue.uri}?heartbeat=2", place=link.place).ready()
        queue.send("a", "b")
        started(ledger)
        link.cut()
        queue.wait_for_counts(2, 0, seconds=60)  # the broker has given the connection up
        release(worker)
        wait_until(lambda: any("lost" in str(record.get("message")) for record in worker.log), 60, "the worker too")
        link.restore()
        worker.wait_for_metric("tasks_acked_total", 2, seconds=60)
        assert [(line.word, line.body) for line in ledger()].count(("done", "a")) == 1
        queue.wait_for_counts(0, 0)
    finally:
        server.close()
