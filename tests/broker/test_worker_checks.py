"""`check` and `run-one`: what a person tries before anything runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from workqueue_broker.declaration import QueueType

from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import TaskQueue
from tests.support.valve import Valve
from tests.support.waiting import wait_until
from tests.support.worker_process import SUPPORT, is_alive


def try_out(*words: str, body: str = "", uri: str = "amqp://127.0.0.1:1") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"AMQP_URL": uri, "PYTHONPATH": str(SUPPORT)}
    command = [sys.executable, "-m", "workqueue_worker", *words]
    return subprocess.run(command, input=body, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.any_rabbitmq
def test_a_check_names_the_handler_and_counts_the_queue(quorum_queue: TaskQueue) -> None:
    quorum_queue.send("a", "b")
    done = try_out("check", "--handler", "worker_handlers:ledger_ok", uri=quorum_queue.uri)
    assert done.returncode == 0, done.stdout
    handler, queue, read, write, dead = done.stdout.splitlines()
    assert handler == "ok   handler: worker_handlers:ledger_ok"
    assert "'task_queue' has 2 tasks ready and 0 consumers" in queue
    assert (read[:10], write[:10]) == ("ok   read:", "ok   write")
    assert dead == "ok   dead-letter queue: queue 'task_queue.dead' is missing, a worker will make it"
    quorum_queue.wait_for_counts(2, 0)


@pytest.mark.parametrize("declare", ["Create", "Never"])
def test_a_check_opens_one_connection_whatever_the_broker_refuses(quorum_queue: TaskQueue, declare: str) -> None:
    """It closes the channel of each try, and not the connection."""
    quorum_queue.dead.declare()
    port = quorum_queue.server.amqp_port
    with Valve(port) as valve:
        done = try_out("check", "--declare", declare, uri=quorum_queue.uri.replace(f":{port}", f":{valve.port}"))
    assert (done.returncode, valve.accepted) == (0, 1), done.stdout


def test_a_check_goes_on_with_another_connection_where_an_alarm_has_ended_the_first(
    own_quorum_queue: TaskQueue,
) -> None:
    own_quorum_queue.dead.declare()
    port = own_quorum_queue.server.amqp_port
    own_quorum_queue.server.set_memory_alarm(True)
    with Valve(port) as valve:
        done = try_out("check", uri=own_quorum_queue.uri.replace(f":{port}", f":{valve.port}"))
    assert (done.returncode, valve.accepted) == (0, 2), done.stdout
    assert done.stdout.splitlines()[-1].startswith("ok   dead-letter queue: 'task_queue.dead' has 0 tasks ready")


@pytest.mark.parametrize(
    ("permission", "line", "remedy"),
    [
        ("read", "bad  read:", "the read permission on queue 'task_queue'"),
        ("write", "bad  write:", "the write permission on exchange 'amq.default'"),
        ("configure", "bad  broker and queue:", "the configure permission on queue 'task_queue'"),
    ],
)
def test_a_check_names_the_permission_that_a_worker_lacks(
    quorum_queue: TaskQueue, permission: str, line: str, remedy: str
) -> None:
    quorum_queue.send("a")
    uri = quorum_queue.set_permissions(**{permission: "^$"})
    done = try_out("check", "--queue-type", quorum_queue.type, uri=uri)
    (bad,) = [text for text in done.stdout.splitlines() if text.startswith("bad")]
    assert (done.returncode, bad.startswith(line), remedy in bad) == (1, True, True), done.stdout
    ((properties, _),) = quorum_queue.take_all()
    assert not (properties.headers or {}).get("x-delivery-count")  # it was not taken; RabbitMQ 3.10 writes the 0


def test_a_check_names_the_dead_letter_queue_that_cannot_be_had(quorum_queue: TaskQueue) -> None:
    uri = quorum_queue.set_permissions(configure="^task_queue$")
    may_not = try_out("check", uri=uri)
    assert "bad  dead-letter queue:" in may_not.stdout
    assert "the configure permission on queue 'task_queue.dead'" in may_not.stdout
    missing = try_out("check", "--declare", "Never", uri=uri)
    assert "bad  dead-letter queue:" in missing.stdout
    assert "make it, or let the worker make it with --declare Create" in missing.stdout
    quorum_queue.dead.declare()
    assert try_out("check", "--declare", "Never", uri=uri).returncode == 0


@pytest.mark.any_rabbitmq
def test_a_check_says_each_thing_that_is_wrong(quorum_queue: TaskQueue) -> None:
    wrong = quorum_queue.server.uri(quorum_queue.vhost, ("guest", "wr0ng-word"))
    done = try_out("check", "--handler", "worker_handlers:nothing", uri=wrong)
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first == "bad  handler: handler 'worker_handlers:nothing': module worker_handlers has no function nothing"
    assert second.startswith("bad  broker and queue:")
    assert "refuses" in second
    assert "wr0ng" not in done.stdout + done.stderr


def test_a_queue_that_a_worker_could_not_declare_is_bad(quorum_queue: TaskQueue) -> None:
    with quorum_queue.channel() as channel:
        channel.queue_declare("urgent", durable=True, arguments={"x-max-priority": 5})
        channel.queue_declare("urgent.dead", durable=True)
    done = try_out("check", "--queue", "urgent", uri=quorum_queue.uri)
    assert (done.returncode, "--declare Never" in done.stdout) == (1, True)
    assert try_out("check", "--queue", "urgent", "--declare", "Never", uri=quorum_queue.uri).returncode == 0


@pytest.mark.any_rabbitmq
def test_a_missing_queue_is_bad_only_when_no_part_would_make_it(rabbitmq: RabbitMQServer) -> None:
    queue = TaskQueue(rabbitmq, rabbitmq.new_vhost(), QueueType.QUORUM)
    would_be_made = try_out("check", uri=queue.uri)
    assert (would_be_made.returncode, "a worker will make it" in would_be_made.stdout) == (0, True)
    missing = try_out("check", "--declare", "Never", uri=queue.uri)
    assert (missing.returncode, "no queue 'task_queue'" in missing.stdout) == (1, True)


@pytest.mark.any_rabbitmq
def test_a_command_is_looked_up(quorum_queue: TaskQueue) -> None:
    found = try_out("check", "--", "sh", "-c", "true", uri=quorum_queue.uri)
    assert "/sh -c true" in found.stdout
    missing = try_out("check", "--", "no-such-program", uri=quorum_queue.uri)
    assert (missing.returncode, "bad  handler: no program 'no-such-program'" in missing.stdout) == (1, True)


@pytest.mark.parametrize(
    ("words", "body", "exit_code", "said"),
    [
        (("--handler", "worker_handlers:by_body"), "ok", 0, "done"),
        (("--handler", "worker_handlers:by_body"), "reject no way", 65, "reject: no way"),
        (("--handler", "worker_handlers:by_body"), "fail not now", 75, "retry: ValueError: not now"),
        (("--", "sh", "-c", "exit $(cat)"), "0", 0, "done"),
        (("--", "sh", "-c", "exit $(cat)"), "3", 75, "retry: the command ended with exit code 3"),
        (("--task-timeout", "0.2", "--", "sleep", "987"), "", 75, "retry: took longer than 0.2 s"),
        (("--task-timeout", "0.2", "--handler", "worker_handlers:polite"), "", 75, "retry: took longer than 0.2 s"),
        (("--task-timeout", "0.2", "--handler", "worker_handlers:until_released"), "", 75, "not end when cancelled"),
    ],
)
def test_one_body_is_run_without_a_broker(
    words: tuple[str, ...], body: str, exit_code: int, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    done = try_out("run-one", *words, body=body)
    assert (done.returncode, said in done.stderr) == (exit_code, True), done.stderr


def test_a_command_ends_when_its_worker_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "workqueue_worker", "run-one", "--"]
    script = f"echo $$ > {tmp_path}/number; exec sleep 987"
    process = subprocess.Popen([*command, "sh", "-c", script], stdin=subprocess.DEVNULL)
    number = wait_until(lambda: int((tmp_path / "number").read_text()), 30, "the command runs")
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not is_alive(number), 30, "the command has ended")
