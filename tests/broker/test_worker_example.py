"""The example of a team's own handler runs as its README says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.task_queue import TaskQueue
from tests.support.worker_process import StartWorker

pytestmark = pytest.mark.any_rabbitmq

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE = EXAMPLES / "01-own-handler"
ORDER = '{"order": "A1", "lines": [{"price": 3, "count": 2}]}'


@pytest.mark.parametrize(("body", "exit_code", "said"), [(ORDER, 0, "done"), ("not JSON", 65, "reject: no order")])
def test_the_example_runs_one_body_without_a_broker(tmp_path: Path, body: str, exit_code: int, said: str) -> None:
    command = [sys.executable, "-m", "workqueue_worker", "run-one", "--handler", "my_tasks:handle"]
    environment = os.environ | {"SUMS": str(tmp_path)}
    done = subprocess.run(
        command, input=body, cwd=EXAMPLE, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, said in done.stderr) == (exit_code, True), done.stderr


def test_the_example_works_on_a_queue_as_its_image_does(
    quorum_queue: TaskQueue, start_worker: StartWorker, tmp_path: Path
) -> None:
    """The image puts the file in the working directory and names it in WORKER_HANDLER."""
    (tmp_path / "worker-1").mkdir()
    (tmp_path / "worker-1" / "my_tasks.py").write_text((EXAMPLE / "my_tasks.py").read_text())
    worker = start_worker(quorum_queue, WORKER_HANDLER="my_tasks:handle", SUMS=str(tmp_path)).ready()
    quorum_queue.send(ORDER, "not JSON")
    worker.wait_for_metric("tasks_acked_total", 1)
    worker.wait_for_metric('tasks_dead_lettered_total{reason="rejected"}', 1)
    assert (tmp_path / "A1").read_text() == "6\n"
    assert worker.output == "order A1: 6 (attempt 1)\n"


def test_the_example_that_publishes_makes_a_task_of_each_line(
    quorum_queue: TaskQueue, start_worker: StartWorker, tmp_path: Path
) -> None:
    (tmp_path / "worker-1").mkdir()
    source = EXAMPLES / "02-libraries-and-next-tasks" / "order_lines.py"
    (tmp_path / "worker-1" / "order_lines.py").write_text(source.read_text())
    worker = start_worker(quorum_queue, WORKER_HANDLER="order_lines:handle", NEXT_QUEUE="lines").ready()
    quorum_queue.send("{order: A1, lines: [{price: 3}, {price: 2}]}", "[no order")
    worker.wait_for_metric("tasks_acked_total", 1)
    worker.wait_for_metric('tasks_dead_lettered_total{reason="rejected"}', 1)
    lines = TaskQueue(quorum_queue.server, quorum_queue.vhost, quorum_queue.type, "lines")
    assert [(made.message_id, body) for made, body in lines.take_all()] == [
        ("m0-1", b"price: 3\n"),
        ("m0-2", b"price: 2\n"),
    ]
    assert "\norder_lines_published_total 2.0\n" in worker.get("/metrics")[1]
    worker.terminate()
    assert worker.exit_code() == 0
