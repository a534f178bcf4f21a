"""The examples run with `workqueue-operator local` as their READMEs say: the image is the folder of its Dockerfile."""

from pathlib import Path

import pytest

from tests.support.local_run import LocalRun, manifests
from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until

pytestmark = pytest.mark.any_rabbitmq

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def jobs(quorum_queue: TaskQueue) -> TaskQueue:
    return quorum_queue


def run(queue: TaskQueue, folder: Path, example: str, **env: str) -> LocalRun:
    text = manifests(queue, {"image": "registry/team/orders:v1"}, env, scaling={"minReplicas": 1})
    return LocalRun(folder, text, "--image", f"registry/team/orders={EXAMPLES / example}", "--logs")


def test_01_adds_an_order_up(jobs: TaskQueue, tmp_path: Path) -> None:
    with run(jobs, tmp_path / "run", "01-own-handler", SUMS=str(tmp_path)) as local:
        jobs.send('{"order": "A1", "lines": [{"price": 3, "count": 2}]}')
        local.until(r"jobs-worker-\w+ \| order A1: 6 \(attempt 1\)")
        assert (tmp_path / "A1").read_text() == "6\n"


def test_02_makes_a_task_of_each_line(jobs: TaskQueue, tmp_path: Path) -> None:
    with run(jobs, tmp_path / "run", "02-libraries-and-next-tasks", NEXT_QUEUE="lines"):
        jobs.send("{order: A1, lines: [{price: 3}, {price: 2}]}")
        lines = TaskQueue(jobs.server, jobs.vhost, jobs.type, "lines")
        wait_until(lambda: lines.counts() == (2, 0), 60, "both lines are tasks")
        jobs.wait_for_counts(0, 0)
