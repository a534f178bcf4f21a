"""The new-task command against a real broker, as a real process: input, output, exit codes, and nothing forgotten."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from workqueue_broker.declaration import QueueType
from workqueue_producer.task import Task
from workqueue_producer.unconfirmed_file import add_unconfirmed

from tests.support.network_link import NetworkLink
from tests.support.new_task import new_task, start_new_task
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until

UNCONFIRMED = "unconfirmed-tasks.jsonl"
#: The connections that a publish while an alarm was on has blocked.
BLOCKED = (
    "[Pid || Pid <- rabbit_networking:local_connections(), rabbit_reader:info(Pid, [state]) =:= [{state, blocked}]]"
)


def bodies(queue: TaskQueue) -> list[bytes]:
    return [body for _, body in queue.take_all()]


def unconfirmed(directory: Path, name: str = UNCONFIRMED) -> list[dict[str, object]]:
    file = directory / name
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


@pytest.mark.any_rabbitmq
def test_the_words_of_the_command_line_are_one_task(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    run = new_task(quorum_queue.uri, tmp_path, "A", "very", "hard", "task..")
    assert (run.code, run.out, run.err) == (0, " [x] Sent 'A very hard task..'\n", "")
    [(properties, body)] = quorum_queue.take_all()
    assert (body, properties.delivery_mode) == (b"A very hard task..", 2)


def test_it_makes_the_queue_of_the_environment(rabbitmq: RabbitMQServer, tmp_path: Path, queue_type: QueueType) -> None:
    queue = TaskQueue(rabbitmq, rabbitmq.new_vhost(), queue_type, "other")
    run = new_task(queue.uri, tmp_path, "x", QUEUE_NAME="other", QUEUE_TYPE=str(queue_type))
    assert run.code == 0
    assert bodies(queue.declare()) == [b"x"]


@pytest.mark.any_rabbitmq
def test_each_line_of_a_file_is_a_task_in_order_as_often_as_wished(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    (tmp_path / "tasks").write_bytes(b"one\n\ntwo\r\n\xff\xfe\nlast, without an end")
    run = new_task(quorum_queue.uri, tmp_path, "--file", "tasks", "--repeat", "2")
    assert run.code == 0
    assert run.out.startswith(" [x] Sent 10 tasks to task_queue in ")
    assert bodies(quorum_queue) == [b"one", b"", b"two", b"\xff\xfe", b"last, without an end"] * 2


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("arguments", [("-",), ("--file", "-")], ids=" ".join)
def test_each_line_of_the_standard_input_is_a_task(
    quorum_queue: TaskQueue, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert new_task(quorum_queue.uri, tmp_path, *arguments, given=b"1\n2\n3\n").code == 0
    assert bodies(quorum_queue) == [b"1", b"2", b"3"]


@pytest.mark.any_rabbitmq
def test_a_pipe_is_a_file_of_tasks_too(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    assert new_task(quorum_queue.uri, tmp_path, "--file", "/dev/stdin", given=b"1\n2\n").code == 0
    assert bodies(quorum_queue) == [b"1", b"2"]
    reader, writer = os.pipe()  # what a shell makes of <(command)
    process = start_new_task(quorum_queue.uri, tmp_path, "--file", f"/dev/fd/{reader}", pass_fds=(reader,))
    os.close(reader)
    os.write(writer, b"3\n4\n")
    os.close(writer)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert bodies(quorum_queue) == [b"3", b"4"]
    os.mkfifo(tmp_path / "named")
    process = start_new_task(quorum_queue.uri, tmp_path, "--file", "named")
    (tmp_path / "named").write_bytes(b"5\n")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert bodies(quorum_queue) == [b"5"]


def test_after_giving_up_an_endless_input_is_left_and_what_was_read_is_kept(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    flags = ("-", "--window", "10", "--timeout", "1", "--json")
    with start_new_task("amqp://127.0.0.1:1", tmp_path, *flags, stdin=reader) as process:
        os.close(reader)
        lines = 0
        try:
            while True:
                lines += os.write(writer, b"a task\n" * 100) // 7
        except BrokenPipeError:  # it has left; while it does not, we write on
            out, err = process.communicate(timeout=60)
        os.close(writer)
    summary = json.loads(out)
    assert (process.returncode, summary["rest_unread"]) == (1, True)
    assert b"the rest of the input was not read" in err
    kept = unconfirmed(tmp_path)
    assert 10 < len(kept) == summary["unconfirmed"] <= lines
    assert {entry["body"] for entry in kept} == {"a task"}


@pytest.mark.any_rabbitmq
def test_an_input_that_breaks_off_is_exit_code_1_and_says_so(own_quorum_queue: TaskQueue, tmp_path: Path) -> None:
    """A socket whose other end goes away with something unread is reset."""
    ours, theirs = socket.socketpair()
    theirs.send(b"never read")
    arguments = ("-", "--timeout", "2", "--json")
    process = start_new_task(own_quorum_queue.uri, tmp_path, *arguments, stdin=theirs.fileno())
    theirs.close()
    ours.send(b"1\n2\n")
    own_quorum_queue.wait_for_counts(ready=2, unacknowledged=0)
    own_quorum_queue.server.set_memory_alarm(True)
    ours.send(b"3\n")
    wait_until(lambda: own_quorum_queue.server.evaluate(BLOCKED) != "[]", 30, "the third task is on its way")
    ours.close()
    out, err = process.communicate(timeout=60)
    summary = json.loads(out)
    assert (process.returncode, summary["confirmed"], summary["unconfirmed"]) == (1, 2, 1)
    assert "cannot read the standard input: Connection reset by peer" in summary["error"]
    assert b"the rest of the input was not read" in err
    assert [entry["body"] for entry in unconfirmed(tmp_path)] == ["3"]


@pytest.mark.any_rabbitmq
def test_a_line_is_sent_while_the_next_one_is_awaited(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    process = start_new_task(quorum_queue.uri, tmp_path, "-")
    assert process.stdin is not None
    process.stdin.write(b"first\n")
    process.stdin.flush()
    quorum_queue.wait_for_counts(ready=1, unacknowledged=0)
    process.communicate(b"second\n", timeout=60)
    assert bodies(quorum_queue) == [b"first", b"second"]


@pytest.mark.any_rabbitmq
def test_the_rate_is_not_exceeded(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    run = new_task(quorum_queue.uri, tmp_path, "x", "--repeat", "11", "--rate", "20", "--json")
    summary = json.loads(run.out)
    assert summary["confirmed"] == 11
    assert summary["seconds"] >= 0.5  # ten pauses of 50 ms


@pytest.mark.any_rabbitmq
def test_headers_go_with_each_task(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    new_task(quorum_queue.uri, tmp_path, "x", "--header", "tenant=a", "--header", "note=b=c")
    [(properties, _)] = quorum_queue.take_all()
    assert (properties.headers["tenant"], properties.headers["note"]) == ("a", "b=c")


@pytest.mark.any_rabbitmq
def test_the_json_summary_is_one_object_on_stdout(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    run = new_task(quorum_queue.uri, tmp_path, "x", "--repeat", "3", "--json")
    summary = json.loads(run.out)
    assert summary.pop("seconds") > 0
    first, last = (round(1000 * summary.pop(name)) for name in ("first_publish_time", "last_confirm_time"))
    published = [properties.headers["x-workqueue-published-ms"] for properties, _ in quorum_queue.take_all()]
    assert first <= published[0] + 1  # both are cut or rounded to milliseconds
    assert published[-1] <= last + 1
    assert summary == {
        "queue": "task_queue",
        "queue_type": "Quorum",
        "confirmed": 3,
        "unconfirmed": 0,
        "error": None,
        "rest_unread": False,
        "refused": False,
        "signal": None,
        "unconfirmed_file": None,
        "exit_code": 0,
    }


@pytest.mark.any_rabbitmq
def test_a_terminal_shows_a_bar_and_a_pipe_does_not(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "workqueue_producer", "x", "--repeat", "500"]
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (24, 80))
    environment = os.environ | {"AMQP_URL": quorum_queue.uri}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=child, env=environment, cwd=tmp_path)
    os.close(child)
    process.communicate(timeout=60)
    with open(parent, "rb", buffering=0) as terminal:
        assert b"Confirmed: 100%" in terminal.read(100_000)
    assert new_task(quorum_queue.uri, tmp_path, "x", "--repeat", "500").err == ""


@pytest.mark.any_rabbitmq
def test_a_broker_that_is_away_is_exit_code_1_and_the_tasks_can_be_sent_again_under_their_ids(
    own_quorum_queue: TaskQueue, tmp_path: Path
) -> None:
    uri = own_quorum_queue.uri
    own_quorum_queue.server.stop()
    run = new_task(uri, tmp_path, "--file", "-", "--timeout", "1", "--header", "a=b", given=b"text\n\xff\n")
    assert (run.code, run.out) == (1, "")
    assert "Connection refused" in run.err
    assert f"2 not confirmed, in {UNCONFIRMED}; send them with: new-task" in run.err
    kept = unconfirmed(tmp_path)
    assert [entry["headers"] for entry in kept] == [{"a": "b"}] * 2
    assert new_task(uri, tmp_path, "--resend", UNCONFIRMED, "--timeout", "1").code == 1
    assert unconfirmed(tmp_path) == kept  # the second failure leaves each task in it once
    own_quorum_queue.server.start()
    assert new_task(uri, tmp_path, "--resend", UNCONFIRMED).code == 0
    assert not (tmp_path / UNCONFIRMED).exists()
    taken = own_quorum_queue.take_all()
    assert [body for _, body in taken] == [b"text", b"\xff"]
    assert [properties.message_id for properties, _ in taken] == [entry["message_id"] for entry in kept]
    assert [properties.headers["a"] for properties, _ in taken] == ["b", "b"]


@pytest.mark.any_rabbitmq
def test_what_was_never_tried_is_kept_too(own_quorum_queue: TaskQueue, tmp_path: Path) -> None:
    own_quorum_queue.server.set_memory_alarm(True)
    lines = b"".join(b"%d\n" % number for number in range(100))
    run = new_task(own_quorum_queue.uri, tmp_path, "-", "--window", "10", "--timeout", "1", "--json", given=lines)
    summary = json.loads(run.out)
    assert (run.code, summary["exit_code"], summary["unconfirmed"]) == (1, 1, 100)
    assert "the broker blocks publishers" in summary["error"]
    assert [entry["body"] for entry in unconfirmed(tmp_path)] == [str(number) for number in range(100)]


@pytest.mark.any_rabbitmq
def test_a_broker_that_comes_back_in_time_is_no_failure(own_quorum_queue: TaskQueue, tmp_path: Path) -> None:
    process = start_new_task(own_quorum_queue.uri, tmp_path, "x", "--repeat", "200", "--rate", "50", "--timeout", "90")
    wait_until(lambda: own_quorum_queue.counts()[0] > 20, 30, "some tasks are there")
    own_quorum_queue.server.kill()
    own_quorum_queue.server.start()
    out, err = process.communicate(timeout=120)
    assert (process.returncode, b"not confirmed" in err) == (0, False)
    assert b"Sent 200 tasks" in out
    assert len({properties.message_id for properties, _ in own_quorum_queue.take_all()}) == 200


def test_a_refusal_is_exit_code_3_at_once_with_the_remedy(task_queue: TaskQueue, tmp_path: Path) -> None:
    other = next(kind for kind in QueueType if kind is not task_queue.type)
    run = new_task(task_queue.uri, tmp_path, "x", "--queue-type", other)
    assert run.code == 3
    assert "set --queue-type (QUEUE_TYPE, spec.queue.type) to its type" in run.err
    run = new_task(task_queue.uri, tmp_path, "x", "--queue", "nowhere", "--declare", "Never")
    assert run.code == 3
    assert "no queue 'nowhere'" in run.err
    run = new_task(task_queue.server.uri(task_queue.vhost, ("guest", "hush-hush")), tmp_path, "x")
    assert run.code == 3
    assert "refuses this user, password" in run.err
    assert "hush" not in run.err
    run = new_task(task_queue.set_permissions(configure=""), tmp_path, "x", "--queue-type", task_queue.type)
    assert run.code == 3
    assert "refuses it: 403 ACCESS_REFUSED" in run.err
    assert len(unconfirmed(tmp_path)) == 4


@pytest.mark.any_rabbitmq
@pytest.mark.slow
def test_a_partition_is_noticed_by_the_heartbeat_and_healed(
    link: NetworkLink, rabbitmq_version: str, tmp_path: Path
) -> None:
    server = RabbitMQServer(tmp_path / "rabbitmq", rabbitmq_version, listen=link.here).start()
    try:
        queue = TaskQueue(server, "/", QueueType.QUORUM).declare()
        arguments = ("x", "--repeat", "300", "--rate", "50", "--timeout", "90")
        process = start_new_task(f"{queue.uri}?heartbeat=2", tmp_path, *arguments, place=link.place)
        wait_until(lambda: queue.counts()[0] > 20, 30, "some tasks are there")
        connections = "length(rabbit_networking:local_connections())"
        link.cut()
        wait_until(lambda: server.evaluate(connections) == "0", 60, "the broker has given the connection up")
        link.restore()
        out, err = process.communicate(timeout=120)
        assert (process.returncode, b"Sent 300 tasks" in out) == (0, True), err
        assert len({properties.message_id for properties, _ in queue.take_all()}) == 300
    finally:
        server.close()


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (("x", "--repeat", "0"), {}, "argument --repeat: must be at least 1"),
        (("x", "--file", "y"), {}, "give words, or --file, or --resend"),
        (("-", "--repeat", "2"), {}, "--repeat: only for words and for a --file"),
        (("x",), {"QUEUE_TYPE": "Stream"}, "must be Quorum or Classic, not 'Stream'"),
        (("--file", "missing"), {}, "No such file or directory: 'missing'"),
        (("--resend", "broken"), {}, "broken:1: not a task"),
        (("--file", "."), {}, "Is a directory: '.'"),
        (("--file", "/dev/null", "--repeat", "2"), {}, "--repeat: /dev/null is a pipe or a device"),
        (("--resend", "/dev/null"), {}, "--resend: /dev/null is not a file"),
        (("x",), {"AMQP_URL": "http://hush-hush@host"}, "AMQP_URL must start with amqp://"),
        (("x",), {"AMQP_URL": "amqps://hush-hush@host", "AMQP_CA_FILE": "broken"}, "AMQP_CA_FILE: no usable PEM text"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_wrong_command_line_or_address_is_exit_code_2_and_nothing_is_sent(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], words: str
) -> None:
    (tmp_path / "broken").write_text("no JSON\n", encoding="utf-8")
    run = new_task("amqp://127.0.0.1:1", tmp_path, *arguments, given=b"", **variables)
    assert run.code == 2
    assert words in run.err.splitlines()[-1]
    assert "Traceback" not in run.err
    assert "hush" not in run.err
    assert unconfirmed(tmp_path) == []


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_interruption_waits_for_what_was_sent_and_keeps_the_rest(
    quorum_queue: TaskQueue, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "tasks").write_text("".join(f"{n}\n" for n in range(1000)), encoding="utf-8")
    process = start_new_task(quorum_queue.uri, tmp_path, "--file", "tasks", "--rate", "50")
    wait_until(lambda: quorum_queue.counts()[0] >= 5, 30, "some tasks are there")
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    sent = [body.decode() for body in bodies(quorum_queue)]
    kept = [entry["body"] for entry in unconfirmed(tmp_path)]
    assert sent + kept == [str(n) for n in range(1000)]
    assert f"{len(kept)} not confirmed".encode() in err


@pytest.mark.any_rabbitmq
def test_an_interrupted_resend_keeps_each_task_that_is_not_there(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    """At five moments as they come; the unit test of the source goes through every step."""
    everything = {f"id-{number}" for number in range(3000)}
    for _ in range(5):
        add_unconfirmed(tmp_path / "left", (Task(b"x", message_id) for message_id in sorted(everything)))
        process = start_new_task(quorum_queue.uri, tmp_path, "--resend", "left", "--rate", "50")  # a minute
        wait_until(lambda: quorum_queue.counts()[0] > 0, 30, "some tasks are there")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
        there = {properties.message_id for properties, _ in quorum_queue.take_all()}
        kept = {entry["message_id"] for entry in unconfirmed(tmp_path, "left")}
        assert there | kept == everything
        (tmp_path / "left").unlink()


@pytest.mark.any_rabbitmq
def test_a_second_interruption_does_not_wait_for_the_broker(own_quorum_queue: TaskQueue, tmp_path: Path) -> None:
    own_quorum_queue.server.set_memory_alarm(True)
    process = start_new_task(own_quorum_queue.uri, tmp_path, "x", "--repeat", "5", "--timeout", "600")
    connected = "length(rabbit_networking:local_connections())"
    wait_until(lambda: own_quorum_queue.server.evaluate(connected).startswith("1"), 30, "new-task is connected")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert b"waiting for the confirms" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert len(unconfirmed(tmp_path)) == 5


@pytest.mark.any_rabbitmq
def test_an_unconfirmed_file_that_cannot_be_written_is_printed_instead(
    rabbitmq: RabbitMQServer, tmp_path: Path
) -> None:
    uri = rabbitmq.uri(rabbitmq.new_vhost())
    run = new_task(uri, tmp_path, "x", "--declare", "Never", "--unconfirmed-file", "no/such/folder")
    assert run.code == 3
    assert '"body": "x"}' in run.err
