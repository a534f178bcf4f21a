"""The worker's port under clients that are slow and many: probes answer, and tasks go on."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.task_queue import TaskQueue
from tests.support.worker_process import StartWorker

pytestmark = pytest.mark.any_rabbitmq

SLOW_CLIENTS = 300


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def test_hundreds_of_slow_clients_cost_no_threads_and_tasks_go_on(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    worker = start_worker(quorum_queue, "ledger_ok").ready()
    threads = threads_of(worker.process.pid)
    with ExitStack() as stack:
        for _ in range(SLOW_CLIENTS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", worker.port), timeout=30))
            client.sendall(b"GET /metrics HTTP/1.1\r\n")
        quorum_queue.send("a", "b")
        worker.wait_for_metric("tasks_acked_total", 2)
        assert worker.get("/healthz") == (200, "alive\n")
        assert threads_of(worker.process.pid) <= threads + 1  # one for a copy or a keeper, none for a client


def test_a_port_that_was_asked_for_and_is_taken_is_an_error_with_the_remedy(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    with socket.create_server(("", 0)) as taken:
        worker = start_worker(quorum_queue, "ledger_ok", "--metrics-port", str(taken.getsockname()[1]))
        assert worker.exit_code() == 2
    assert "set another port, or 0 for any free one" in worker.log_file.read_text()
