"""A command as handler, and time limits: real for a command, and the end of the worker for a function that stays."""

import json
from pathlib import Path

import pytest

from tests.support.task_queue import Ledger, TaskQueue
from tests.support.tls_front import Authority, TlsFront
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, WorkerProcess

LIMIT = ("--task-timeout", "1", "--max-attempts", "1")


@pytest.mark.any_rabbitmq
def test_a_command_gets_body_and_metadata_and_its_exit_code_is_the_outcome(
    quorum_queue: TaskQueue, start_worker: StartWorker, tmp_path: Path
) -> None:
    script = f'cat >> {tmp_path}/bodies; env >> {tmp_path}/environment; read -r x < /dev/null; exit "$(cat /dev/null)0"'
    worker = start_worker(quorum_queue, None, "--", "sh", "-c", script).ready()
    quorum_queue.send(
        "the body",
        ids=["the-id"],
        headers={"traceparent": "00-a-b-01", "n": 1},
        content_type="text/x",
        timestamp=1_767_225_600,
    )
    worker.wait_for_metric("tasks_acked_total", 1)
    assert (tmp_path / "bodies").read_text() == "the body"
    lines = (tmp_path / "environment").read_text().splitlines()
    seen = dict(line.split("=", 1) for line in lines if line.startswith(("TASK_", "TRACE")))
    assert json.loads(seen.pop("TASK_HEADERS")) == {"traceparent": "00-a-b-01", "n": 1}
    assert seen == {
        "TASK_ID": "the-id",
        "TASK_QUEUE": "task_queue",
        "TASK_ATTEMPT": "1",
        "TASK_REDELIVERED": "false",
        "TASK_CONTENT_TYPE": "text/x",
        "TASK_ENQUEUED_AT": "2026-01-01T00:00:00+00:00",
        "TRACEPARENT": "00-a-b-01",
    }


@pytest.mark.any_rabbitmq
def test_exit_code_65_dead_letters_and_every_other_one_or_a_signal_is_tried_again(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    script = 'case "$(cat)" in reject) exit 65;; fail) exit 1;; die) kill -9 $$;; esac'
    flags = ("--max-attempts", "2", "--retry-max-delay", "0.05")
    worker = start_worker(quorum_queue, None, *flags, "--", "sh", "-c", script).ready()
    quorum_queue.send("reject", "fail", "die", "do", ids=["reject", "fail", "die", "do"])
    worker.wait_for_metric("tasks_acked_total", 1)
    quorum_queue.dead.wait_for_counts(3, 0)
    headers = {properties.message_id: properties.headers for properties, _ in quorum_queue.dead.take_all()}
    assert {name: values["x-workqueue-reason"] for name, values in headers.items()} == {
        "reject": "rejected",
        "fail": "attempts_exhausted",
        "die": "attempts_exhausted",
    }
    assert headers["fail"]["x-workqueue-error"] == "the command ended with exit code 1"
    assert headers["die"]["x-workqueue-error"] == "the command ended with signal SIGKILL"


@pytest.mark.any_rabbitmq
def test_a_large_body_reaches_a_command_whole(
    quorum_queue: TaskQueue, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker(quorum_queue, None, "--", "sh", "-c", f"cat > {tmp_path}/body").ready()
    body = bytes(range(256)) * 40 * 1024
    quorum_queue.send(body)
    worker.wait_for_metric("tasks_acked_total", 1)
    assert (tmp_path / "body").read_bytes() == body


@pytest.mark.any_rabbitmq
def test_a_command_that_does_not_read_a_large_body_is_no_problem(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    worker = start_worker(quorum_queue, None, "--", "true").ready()
    quorum_queue.send(b"x" * 10 * 1024 * 1024)
    worker.wait_for_metric("tasks_acked_total", 1)


@pytest.mark.any_rabbitmq
def test_a_command_that_cannot_be_started_is_a_failed_attempt_that_says_why(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    worker = start_worker(quorum_queue, None, "--max-attempts", "1", "--", "/no/such/program").ready()
    quorum_queue.send("")
    worker.wait_for_metric('tasks_dead_lettered_total{reason="attempts_exhausted"}', 1)
    ((properties, _body),) = quorum_queue.dead.take_all()
    assert "/no/such/program" in properties.headers["x-workqueue-error"]


@pytest.mark.any_rabbitmq
def test_a_command_past_its_time_is_killed_with_its_children_and_the_worker_goes_on(
    quorum_queue: TaskQueue, start_worker: StartWorker, tmp_path: Path
) -> None:
    """Both ignore SIGTERM, so this shows SIGKILL to the whole group."""
    script = f"""
        [ "$(cat)" = quick ] && exit 0
        trap '' TERM; sh -c "trap '' TERM; sleep 987" & echo $! > {tmp_path}/child; wait"""
    worker = start_worker(quorum_queue, None, *LIMIT, "--", "sh", "-c", script).ready()
    quorum_queue.send("slow", "quick")
    worker.wait_for_metric("tasks_acked_total", 1)
    assert worker.metric('tasks_failed_total{reason="timeout"}') == 1
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not Path(f"/proc/{child}/exe").exists(), 30, "the child is gone")
    ((properties, _body),) = quorum_queue.dead.take_all()
    assert properties.headers["x-workqueue-error"] == "took longer than 1 s"


@pytest.mark.any_rabbitmq
def test_a_function_that_ends_when_it_learns_that_its_time_is_over_costs_no_worker(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(quorum_queue, "polite", *LIMIT).ready()
    quorum_queue.send("a", "b")
    worker.wait_for_metric('tasks_failed_total{reason="timeout"}', 2)
    assert worker.process.poll() is None
    assert [line.word for line in ledger()] == ["started", "cancelled"] * 2


@pytest.mark.any_rabbitmq
def test_a_function_that_stays_past_its_time_is_dead_lettered_and_the_worker_leaves_after_its_other_tasks(
    quorum_queue: TaskQueue, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = start_worker(quorum_queue, "until_released", *LIMIT).ready()
    quorum_queue.send("a", ids=["stuck"])
    assert worker.exit_code(60) == 75
    ((properties, _body),) = quorum_queue.dead.take_all()
    assert properties.message_id == "stuck"
    assert properties.headers["x-workqueue-reason"] == "attempts_exhausted"
    quorum_queue.wait_for_counts(0, 0)


def warnings(worker: WorkerProcess) -> list[str]:
    return [str(record["message"]) for record in worker.log if record.get("level") == "warning"]


def test_a_worker_warns_at_its_start_when_the_broker_would_take_its_tasks_away(
    quorum_queue: TaskQueue, start_worker: StartWorker
) -> None:
    long = start_worker(quorum_queue, None, "--task-timeout", "3600")
    short = start_worker(quorum_queue, None, "--task-timeout", "60").ready()
    wait_until(lambda: any("is 1800 s" in text for text in warnings(long)), 30, "the broker's default is named")
    assert warnings(short) == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_queues_own_consumer_timeout_is_read_from_the_management_api(
    quorum_queue: TaskQueue, start_worker: StartWorker, tmp_path: Path, scheme: str
) -> None:
    server = quorum_queue.server
    if server.version_number == "3.10":
        pytest.skip("RabbitMQ has this policy since 3.12")
    definition = {"pattern": ".*", "definition": {"consumer-timeout": 120_000}, "apply-to": "queues"}
    server.management("PUT", f"/api/policies/{quorum_queue.vhost}/timeout", definition)
    path = f"/api/queues/{quorum_queue.vhost}/{quorum_queue.name}"
    wait_until(lambda: "120000" in str(server.management("GET", path)), 30, "the management API shows the policy")
    api = {"AMQP_MANAGEMENT_URL": server.management_uri}
    if scheme == "https":
        authority = Authority(tmp_path / "authority")
        front = TlsFront(server.management_port, authority.issue("management", "IP:127.0.0.1"))
        api = {"AMQP_MANAGEMENT_URL": f"https://127.0.0.1:{front.port}", "AMQP_CA_FILE": str(authority.certificate)}
    worker = start_worker(quorum_queue, None, "--task-timeout", "300", place=None, **api)
    wait_until(lambda: any("is 120 s" in text for text in warnings(worker)), 30, "the policy's timeout is named")
