"""`workqueue-operator local` on a real broker: scenarios of the cluster suite with local processes."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from workqueue_broker.declaration import QueueType

from tests.support.local_run import LocalRun, manifests
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import Ledger, LedgerLine, TaskQueue, read_ledger
from tests.support.waiting import wait_until

pytestmark = pytest.mark.any_rabbitmq

SECONDS = 60


@pytest.fixture
def ledger(tmp_path: Path) -> Callable[[], Sequence[LedgerLine]]:
    return lambda: read_ledger(tmp_path / "ledger")


def handled(tmp_path: Path, handler: str) -> dict[str, str]:
    """The variables of a container whose tasks write to the ledger."""
    return {"WORKER_HANDLER": f"worker_handlers:{handler}", "LEDGER": str(tmp_path / "ledger")}


def words(lines: Sequence[LedgerLine], word: str) -> list[LedgerLine] | None:
    """The lines of the word; None: there is none yet."""
    return [line for line in lines if line.word == word] or None


def is_alive(process: int) -> bool:
    """False for a zombie too: the process has ended, and its parent has not waited for it yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_from_nothing_to_the_wanted_size_in_one_step_and_back_to_nothing(
    quorum_queue: TaskQueue, tmp_path: Path, ledger: Ledger
) -> None:
    text = manifests(quorum_queue, env=handled(tmp_path, "until_released"))
    with LocalRun(tmp_path / "run", text) as local:
        local.until("default/jobs: BacklogDrained: 1 -> 0")
        ids = quorum_queue.send(*["task"] * 6)
        local.until(r"default/jobs: Backlog: \d -> 3")
        wait_until(lambda: len(words(ledger(), "started") or ()) == 3, SECONDS, "each worker has a task")
        local.until_explained("default/jobs: 3 workers desired since")
        (tmp_path / "run" / "release").touch()
        local.until(r"jobs-worker-\w+ has ended", times=4)
        assert sorted(line.id for line in words(ledger(), "done") or ()) == ids
        assert 'workqueue_operator_desired_replicas{namespace="default",workqueue="jobs"} 0.0' in local.metrics()
        local.interrupt()
        assert local.exit_code() == 0
        assert [path.name for path in (tmp_path / "run" / "workqueue-local").iterdir()] == ["lock"]


def test_a_worker_killed_in_the_middle_of_a_task_loses_nothing(
    quorum_queue: TaskQueue, tmp_path: Path, ledger: Ledger
) -> None:
    text = manifests(quorum_queue, env=handled(tmp_path, "until_released"), scaling={"minReplicas": 1})
    with LocalRun(tmp_path / "run", text) as local:
        quorum_queue.send("task")
        (first,) = wait_until(lambda: words(ledger(), "started"), SECONDS, "the task is started")
        os.kill(first.process, signal.SIGKILL)
        local.until(r"jobs-worker-\w+ worker was ended by SIGKILL, it is started again")
        wait_until(lambda: len(words(ledger(), "started") or ()) == 2, SECONDS, "the task is started again")
        (tmp_path / "run" / "release").touch()
        (done,) = wait_until(lambda: words(ledger(), "done"), SECONDS, "the task is done")
        assert done.process != first.process


def test_a_busy_worker_stays_while_the_idle_ones_go(quorum_queue: TaskQueue, tmp_path: Path, ledger: Ledger) -> None:
    text = manifests(quorum_queue, env=handled(tmp_path, "by_body"))
    with LocalRun(tmp_path / "run", text) as local:
        quorum_queue.send("await-release", "sleep 0.5", "sleep 0.5")
        local.until(r"default/jobs: \w+: \d -> 1")
        local.until(r"jobs-worker-\w+ has ended", times=2)
        (busy,) = [line for line in ledger() if line.body == "await-release"]
        assert is_alive(busy.process)
        (tmp_path / "run" / "release").touch()
        local.until(r"default/jobs: \w+: 1 -> 0")
        quorum_queue.wait_for_counts(0, 0)


def test_ctrl_c_lets_workers_finish_their_tasks(quorum_queue: TaskQueue, tmp_path: Path, ledger: Ledger) -> None:
    text = manifests(quorum_queue, env=handled(tmp_path, "until_released"))
    with LocalRun(tmp_path / "run", text) as local:
        quorum_queue.send("task")
        wait_until(lambda: words(ledger(), "started"), SECONDS, "the task is started")
        local.interrupt()
        local.until("1 workers finish their tasks; Ctrl[+]C again stops them")
        (tmp_path / "run" / "release").touch()
        assert local.exit_code() == 0
        assert len(words(ledger(), "done") or ()) == 1
    quorum_queue.wait_for_counts(0, 0)


def test_a_second_ctrl_c_stops_the_tasks_and_they_come_back(
    quorum_queue: TaskQueue, tmp_path: Path, ledger: Ledger
) -> None:
    text = manifests(quorum_queue, env=handled(tmp_path, "until_released"))
    with LocalRun(tmp_path / "run", text) as local:
        quorum_queue.send("task")
        wait_until(lambda: words(ledger(), "started"), SECONDS, "the task is started")
        local.interrupt()
        local.until("workers finish their tasks")
        local.interrupt()
        assert local.exit_code() == 0
        (started,) = ledger()
        assert not is_alive(started.process)
    quorum_queue.wait_for_counts(1, 0)


def test_a_killed_local_leaves_no_worker_and_no_command_of_one(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    """A command has a session of its own, and its own child too."""
    script = 'echo $$$$ >> "$PIDS"; sleep 1000 & echo $! >> "$PIDS"; wait'
    pids = tmp_path / "pids"
    pids.touch()
    text = manifests(quorum_queue, {"args": ["--", "sh", "-c", script]}, {"PIDS": str(pids)})
    with LocalRun(tmp_path / "run", text) as local:
        quorum_queue.send("task")
        wait_until(lambda: len(pids.read_text().split()) == 2, SECONDS, "the command runs")
        local.process.kill()
        local.process.wait()
        command, child = map(int, pids.read_text().split())
        wait_until(lambda: not is_alive(command) and not is_alive(child), SECONDS, "the command has ended")
    wait_until(lambda: not quorum_queue.is_consumed(), SECONDS, "no worker consumes")
    quorum_queue.wait_for_counts(1, 0)


def test_workers_that_crash_stop_the_growth_until_they_work(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    """The workers are the manifest's, so they stay as they are; here is what stops the growth."""
    text = manifests(quorum_queue, env={"WORKER_HANDLER": "no_such_module:handle"}, scaling={"maxReplicas": 12})
    with LocalRun(tmp_path / "run", text) as local:
        quorum_queue.send("task")
        local.until(r"! default/jobs: WorkersFailing: 1 of 1 pods fail: (CrashLoopBackOff|a container ended)")
        quorum_queue.send(*["task"] * 20)
        assert "WorkersHealthy is False (WorkersFailing)" in local.until_explained("WorkersFailing")
        local.until("worker ended with exit code 2, it is started again in 10 s: .*no_such_module")
        assert not local.lines("Backlog: 1 ->")


def test_while_the_broker_is_away_the_workers_stay(own_quorum_queue: TaskQueue, tmp_path: Path, ledger: Ledger) -> None:
    text = manifests(own_quorum_queue, env=handled(tmp_path, "ledger_ok"), scaling={"minReplicas": 2})
    with LocalRun(tmp_path / "run", text) as local:
        local.until(r"jobs-worker-\w+ is Ready", times=2)
        own_quorum_queue.server.stop()
        assert "2 workers desired" in local.until_explained("QueueObserved is False")
        own_quorum_queue.server.start()
        wait_until(lambda: "QueueObserved is" not in local.explain(), SECONDS, "the queue is observed again")
        own_quorum_queue.send("task")
        wait_until(lambda: words(ledger(), "done"), SECONDS, "the task is done")
        assert not local.lines("has ended")


def test_without_a_broker_it_says_where_it_looked_and_how_to_start_one(
    tmp_path: Path, rabbitmq: RabbitMQServer
) -> None:
    queue = TaskQueue(rabbitmq, "nowhere", QueueType.QUORUM)
    with LocalRun(tmp_path / "run", manifests(queue)) as local:
        assert local.exit_code() == 1
        assert f"Secret default/rabbitmq: amqp://{rabbitmq.user}@127.0.0.1" in local.text
    with LocalRun(tmp_path / "run", manifests(queue), "--amqp-url", "amqp://rabbitmq.team.svc") as local:
        assert local.exit_code() == 1
        assert "the host rabbitmq.team.svc has no address here" in local.text
        assert "--broker docker" in local.text
