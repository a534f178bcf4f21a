"""Leaving, at every moment: after one signal, after two, at the grace deadline, with and without a broker."""

import signal
import socket
from pathlib import Path

import pytest

from tests.support.task_queue import Ledger, TaskQueue
from tests.support.waiting import wait_until
from tests.support.worker_process import Place, StartWorker, is_alive


def started(ledger: Ledger, count: int = 1) -> None:
    wait_until(lambda: [line.word for line in ledger()].count("started") >= count, 30, f"{count} tasks have started")


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "ctrl-c"])
def test_an_idle_worker_leaves_at_once(
    quorum_queue: TaskQueue, start_worker: StartWorker, number: signal.Signals
) -> None:
    worker = start_worker(quorum_queue).ready()
    worker.process.send_signal(number)
    assert worker.exit_code() == 0


def test_a_worker_asked_to_leave_finishes_its_task_acks_it_and_takes_no_other(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(task_queue, "until_released").ready()
    task_queue.send("a", "b")
    started(ledger)
    worker.terminate()
    wait_until(lambda: worker.metric("worker_draining") == 1, 30, "it answers while it leaves, and says that it does")
    assert worker.get("/readyz")[0] == 503
    assert worker.get("/healthz")[0] == 200
    assert worker.metric("tasks_in_progress") == 1
    (worker.output_file.parent / "release").touch()
    assert worker.exit_code() == 0
    task_queue.wait_for_counts(1, 0)
    assert [(line.word, line.id) for line in ledger()] == [("started", "m0"), ("done", "m0")]


@pytest.mark.any_rabbitmq
def test_all_tasks_in_progress_are_finished_with_concurrency(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(quorum_queue, "until_released", "--concurrency", "4").ready()
    quorum_queue.send(*"abcdef")
    started(ledger, 4)
    worker.terminate()
    wait_until(lambda: worker.metric("worker_draining") == 1, 30, "draining")
    (worker.output_file.parent / "release").touch()
    assert worker.exit_code() == 0
    quorum_queue.wait_for_counts(2, 0)
    assert len([line for line in ledger() if line.word == "done"]) == 4


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("handler", ["polite", "until_released"])
def test_a_second_signal_hands_the_task_back(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger, handler: str
) -> None:
    """`until_released` never looks at the event: the process ends around it."""
    worker = start_worker(quorum_queue, handler).ready()
    quorum_queue.send("a")
    started(ledger)
    worker.terminate()
    wait_until(lambda: worker.metric("worker_draining") == 1, 30, "draining")
    worker.terminate()
    assert worker.exit_code() == 75
    quorum_queue.wait_for_counts(1, 0)
    assert "done" not in [line.word for line in ledger()]
    (line,) = worker.outcomes
    assert (line["id"], line["attempt"], line["outcome"]) == ("m0", 1, "handed back")


def test_at_the_grace_deadline_the_task_is_handed_back(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(task_queue, "until_released", "--grace-period", "1").ready()
    task_queue.send("a")
    started(ledger)
    worker.terminate()
    assert worker.exit_code() == 75
    task_queue.wait_for_counts(1, 0)


@pytest.mark.any_rabbitmq
def test_a_commands_processes_are_gone_when_its_task_is_handed_back(
    quorum_queue: TaskQueue, start_worker: StartWorker, tmp_path: Path
) -> None:
    """SIGTERM is ignored by both: SIGKILL follows, to the whole group."""
    script = (
        f"trap '' TERM; (trap '' TERM; exec sleep 987) & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/parent; wait"
    )
    worker = start_worker(quorum_queue, None, "--grace-period", "1", "--", "sh", "-c", script).ready()
    quorum_queue.send("a")
    processes = wait_until(
        lambda: [int((tmp_path / name).read_text()) for name in ("child", "parent")], 30, "the command runs"
    )
    worker.terminate()
    assert worker.exit_code() == 75
    quorum_queue.wait_for_counts(1, 0)
    wait_until(lambda: not any(is_alive(process) for process in processes), 30, "both processes are gone")


@pytest.mark.any_rabbitmq
def test_a_task_that_waits_for_its_retry_is_sent_back_counted_and_at_once(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(quorum_queue, "by_body", "--retry-max-delay", "600").ready()
    quorum_queue.send("retry 600")
    worker.wait_for_metric('tasks_failed_total{reason="exception"}', 1)
    worker.terminate()
    assert worker.exit_code() == 0
    ((properties, _body),) = quorum_queue.take_all()
    assert properties.headers["x-workqueue-attempts"] == 1


@pytest.mark.any_rabbitmq
def test_a_worker_that_cannot_connect_leaves_at_once(quorum_queue: TaskQueue, start_worker: StartWorker) -> None:
    worker = start_worker(quorum_queue, AMQP_URL="amqp://127.0.0.1:1")
    wait_until(lambda: "not consuming" in worker.get("/readyz")[1], 30, "it has tried")
    worker.terminate()
    assert worker.exit_code() == 0


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("signals", [1, 2])
def test_a_worker_whose_connect_hangs_leaves_at_once_and_in_order(
    quorum_queue: TaskQueue, start_worker: StartWorker, signals: int
) -> None:
    """A broker that accepts the connection and says nothing; the handshake's time is not waited for."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        worker = start_worker(quorum_queue, AMQP_URL=f"amqp://127.0.0.1:{silent.getsockname()[1]}")
        client, _ = silent.accept()
        with client:
            assert client.recv(8) == b"AMQP\x00\x00\x09\x01"
            for _ in range(signals):
                worker.terminate()
            assert worker.exit_code(8) == 0


@pytest.mark.any_rabbitmq
def test_two_signals_at_once_to_an_idle_worker_are_an_orderly_end(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    worker = start_worker(quorum_queue, "ledger_ok", "--concurrency", "3").ready()
    for _ in range(2):
        worker.terminate()
    assert worker.exit_code() == 0


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("signals", [1, 2])
def test_a_task_that_waits_for_a_thread_is_handed_back_and_not_begun(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger, signals: int
) -> None:
    """Two slots, one of them with a task of a lost connection: of the two that come one waits."""
    worker = start_worker(quorum_queue, "until_released", "--concurrency", "2").ready()
    quorum_queue.send("a")
    started(ledger)
    quorum_queue.close_connections()
    wait_until(lambda: worker.metric("broker_reconnects_total") == 1, 30, "it has reconnected")
    quorum_queue.send("b")
    quorum_queue.wait_for_counts(0, 2)
    started(ledger, 2)
    worker.terminate()
    quorum_queue.wait_for_counts(1, 1)
    if signals == 2:
        worker.terminate()
    else:
        (worker.output_file.parent / "release").touch()
    assert worker.exit_code() == (0 if signals == 1 else 75)
    quorum_queue.wait_for_counts(signals, 0)
    assert [line.word for line in ledger()].count("started") == 2


@pytest.mark.any_rabbitmq
def test_without_its_broker_a_worker_still_finishes_its_task_before_it_leaves(
    own_quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    queue = own_quorum_queue
    worker = start_worker(queue, "until_released").ready()
    queue.send("a")
    started(ledger)
    queue.server.stop()
    wait_until(lambda: worker.metric("broker_connected") == 0, 30, "it has lost its broker")
    worker.terminate()
    wait_until(lambda: worker.metric("worker_draining") == 1, 30, "draining")
    assert worker.process.poll() is None
    (worker.output_file.parent / "release").touch()
    assert worker.exit_code() == 0
    assert [line.word for line in ledger()] == ["started", "done"]


@pytest.mark.any_rabbitmq
def test_a_failed_task_held_by_an_alarm_is_handed_back_at_the_grace_deadline(
    own_quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    queue = own_quorum_queue
    worker = start_worker(queue, "until_released_then_reject", "--grace-period", "1").ready()
    queue.send("a")
    started(ledger)
    queue.server.set_memory_alarm(True)
    (worker.output_file.parent / "release").touch()
    worker.wait_for_metric('tasks_failed_total{reason="rejected"}', 1)
    worker.terminate()
    assert worker.exit_code() == 75
    queue.wait_for_counts(1, 0)


@pytest.mark.any_rabbitmq
@pytest.mark.once
@pytest.mark.parametrize("concurrency", [1, 3])
def test_after_so_many_tasks_a_worker_leaves_and_loses_none_of_the_others(
    task_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger, concurrency: int
) -> None:
    """It may have some more by then, and finishes those, too."""
    task_queue.send(*["0.2"] * 40)
    worker = start_worker(task_queue, "started_and_done", "--max-tasks", "5", "--concurrency", str(concurrency))
    assert worker.exit_code() == 0
    done = [line.id for line in ledger() if line.word == "done"]
    assert 5 <= len(done) == len(set(done)) < 40
    task_queue.wait_for_counts(40 - len(done), 0)


@pytest.mark.any_rabbitmq
def test_at_the_grace_deadline_a_coroutine_is_cancelled_and_its_task_handed_back(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(quorum_queue, "by_body", "--grace-period", "1").ready()
    quorum_queue.send("async-sleep 3600")
    started(ledger)
    worker.terminate()
    assert worker.exit_code() == 75
    quorum_queue.wait_for_counts(1, 0)
    assert [line.word for line in ledger()] == ["started", "cleaned"]


@pytest.mark.any_rabbitmq
def test_a_forced_end_without_stdout_has_its_exit_code(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    without_stdout = Place(command=("sh", "-c", 'exec "$@" >&-', "sh"))
    worker = start_worker(quorum_queue, "until_released", place=without_stdout).ready()
    quorum_queue.send("a")
    started(ledger)
    worker.terminate()
    wait_until(lambda: worker.metric("worker_draining") == 1, 30, "draining")  # two pending signals would be one
    worker.terminate()
    assert worker.exit_code() == 75
    quorum_queue.wait_for_counts(1, 0)


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("stdout", [">&-", "> /dev/full"], ids=["closed", "full"])
def test_the_tutorials_handler_does_its_tasks_though_no_program_reads_its_lines(
    quorum_queue: TaskQueue, start_worker: StartWorker, stdout: str
) -> None:
    worker = start_worker(quorum_queue, place=Place(command=("sh", "-c", f'exec "$@" {stdout}', "sh"))).ready()
    quorum_queue.send("a", "b")
    worker.wait_for_metric("tasks_acked_total", 2)
    worker.terminate()
    assert worker.exit_code() == 0
