"""Looking after dead-lettered tasks: list, replay and drop, with the command that a person would use."""

import json
import os
import pty
import re
import subprocess
import sys

import pika
import pytest
from workqueue_broker.declaration import QueueCounts, read_counts
from workqueue_broker.errors import BrokerError
from workqueue_worker.amqp import DeadLetterQueue
from workqueue_worker.dead_letter_commands import PartlyDone, Selection, list_tasks, replay_tasks

from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until

REASONS = {"x-workqueue-reason": "rejected", "x-workqueue-attempts": 2, "x-workqueue-error": "no\tway\nout"}


def dead_letters(queue: TaskQueue, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workqueue_worker", "dead-letters", *words, "--queue", queue.name]
    environment = os.environ | {"AMQP_URL": queue.uri}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def dead_letter(queue: TaskQueue, *ids: str) -> None:
    queue.dead.declare().send(*(f"body of {name}" for name in ids), ids=ids, headers=REASONS | {"mine": 1})


@pytest.mark.any_rabbitmq
def test_the_list_shows_what_is_known_and_changes_nothing(quorum_queue: TaskQueue) -> None:
    dead_letter(quorum_queue, "a", "b")
    done = dead_letters(quorum_queue, "list")
    assert done.returncode == 0, done.stderr
    head, *rows = (line.split("\t") for line in done.stdout.splitlines())
    first = dict(zip(head, rows[0], strict=True))
    assert (first["id"], first["reason"], first["attempts"], first["error"]) == ("a", "rejected", "2", "no way out")
    assert len(rows) == 2
    quorum_queue.dead.wait_for_counts(2, 0)


def opened(queue: TaskQueue) -> DeadLetterQueue:
    """As the command does, without the start of a process: thirty times are soon done."""
    return DeadLetterQueue(queue.server.address(queue.vhost), "test", queue.dead.name)


def test_listing_thirty_times_costs_no_task(task_queue: TaskQueue) -> None:
    """RabbitMQ 4 deletes what was returned to a quorum queue 20 times."""
    dead_letter(task_queue, "a")
    for _ in range(30):
        dead = opened(task_queue)
        assert list_tasks(dead, Selection(), lambda _text: None) == 1
        dead.close()
    task_queue.dead.wait_for_counts(1, 0)
    ((properties, body),) = task_queue.dead.take_all()
    assert body == b"body of a"
    assert properties.headers["x-workqueue-reason"] == "rejected"


def test_choosing_others_thirty_times_costs_no_task(task_queue: TaskQueue) -> None:
    """Who looks for one takes those before it, and returns them."""
    ids = [f"chosen-{number}" for number in range(30)]
    dead_letter(task_queue, "innocent", *ids)
    for name in ids:
        dead = opened(task_queue)
        assert replay_tasks(dead, task_queue.name, Selection(frozenset({name}))) == 1
        dead.close()
    task_queue.dead.wait_for_counts(1, 0)
    assert [properties.message_id for properties, _ in task_queue.dead.take_all()] == ["innocent"]
    assert sorted(properties.message_id for properties, _ in task_queue.take_all()) == sorted(ids)


class Interrupted(Exception):
    pass


def test_thirty_lists_and_replays_that_are_cut_off_cost_no_task(task_queue: TaskQueue) -> None:
    """The connection goes with the tasks in hand, which the broker counts against each of them."""
    dead_letter(task_queue, "a", "b", "c")

    def cut_off(text: str) -> None:
        if not text.startswith("id"):
            dead.close()
            raise Interrupted

    for number in range(30):
        dead = opened(task_queue)
        if number % 2:
            with pytest.raises(BrokerError):  # putting back is what fails
                list_tasks(dead, Selection(), cut_off)
        else:
            with pytest.raises(PartlyDone, match="replayed 0, then: there is no queue 'nowhere'"):
                replay_tasks(dead, "nowhere", Selection())
            dead.close()
    task_queue.dead.wait_for_counts(3, 0)
    assert sorted(properties.message_id for properties, _ in task_queue.dead.take_all()) == ["a", "b", "c"]


@pytest.mark.any_rabbitmq
def test_a_replay_shows_how_far_it_is_and_a_kill_in_the_middle_loses_nothing(task_queue: TaskQueue) -> None:
    ids = [f"m{number}" for number in range(500)]
    dead_letter(task_queue, *ids)
    here, there = pty.openpty()
    command = [sys.executable, "-m", "workqueue_worker", "dead-letters", "replay", "--queue", task_queue.name]
    process = subprocess.Popen(
        command, env=os.environ | {"AMQP_URL": task_queue.uri}, stdout=subprocess.DEVNULL, stderr=there
    )
    os.close(there)
    shown = ""
    while "/500" not in shown:
        shown += os.read(here, 1000).decode()
    process.kill()
    process.wait()
    os.close(here)
    assert re.search(r"replay \[[# ]{30}\] \d+/500", shown)
    wait_until(lambda: task_queue.dead.counts()[1] == 0, 30, "the broker has taken back what was in hand")
    found = [{properties.message_id for properties, _ in queue.take_all()} for queue in (task_queue, task_queue.dead)]
    assert found[0] | found[1] == set(ids)
    assert found[0], "some were replayed"
    assert found[1], "the kill came in the middle"


def test_a_queue_without_a_leader_is_an_error_and_no_empty_queue(quorum_queue: TaskQueue) -> None:
    dead_letter(quorum_queue, "a")
    quorum_queue.dead.stop_leader()
    done = dead_letters(quorum_queue, "replay")
    assert (done.returncode, done.stdout) == (1, "")
    quorum_queue.dead.start_leader()
    quorum_queue.dead.wait_for_counts(1, 0)


@pytest.mark.any_rabbitmq
def test_what_comes_back_while_it_counts_is_counted(quorum_queue: TaskQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who had it in hand lets go of it between the count and the take; the queue then said that it is empty."""
    dead_letter(quorum_queue, "a", "b")
    answers = iter([QueueCounts(0, 0)])
    monkeypatch.setattr(
        "workqueue_worker.amqp.dead_letter_queue.read_counts", lambda *queue: next(answers, None) or read_counts(*queue)
    )
    tasks = opened(quorum_queue)
    assert tasks.count == 2
    assert list_tasks(tasks, Selection(), lambda _text: None) == 2
    tasks.close()


def test_a_replayed_task_starts_again_in_its_queue(task_queue: TaskQueue) -> None:
    dead_letter(task_queue, "a", "b")
    done = dead_letters(task_queue, "replay")
    assert (done.stdout, done.returncode) == ("replayed 2\n", 0)
    task_queue.dead.wait_for_counts(0, 0)
    messages = task_queue.take_all()
    assert [(properties.message_id, body) for properties, body in messages] == [
        ("a", b"body of a"),
        ("b", b"body of b"),
    ]
    assert messages[0][0].headers.keys() - {"x-delivery-count"} == {"mine"}  # the broker's own, of this reading


@pytest.mark.any_rabbitmq
def test_a_replay_of_some_leaves_the_others(quorum_queue: TaskQueue) -> None:
    dead_letter(quorum_queue, "a", "b", "c")
    assert dead_letters(quorum_queue, "replay", "--id", "b").stdout == "replayed 1\n"
    assert [properties.message_id for properties, _ in quorum_queue.take_all()] == ["b"]
    quorum_queue.dead.wait_for_counts(2, 0)
    assert dead_letters(quorum_queue, "replay", "--limit", "1").stdout == "replayed 1\n"
    quorum_queue.dead.wait_for_counts(1, 0)


def test_a_replay_to_a_queue_that_is_not_there_loses_nothing(quorum_queue: TaskQueue) -> None:
    dead_letter(quorum_queue, "a")
    quorum_queue.delete()
    done = dead_letters(quorum_queue, "replay")
    assert done.returncode == 1
    assert "no queue 'task_queue' to replay to" in done.stderr
    quorum_queue.dead.wait_for_counts(1, 0)


@pytest.mark.any_rabbitmq
def test_a_replay_goes_where_the_person_says_and_not_where_the_sender_does(
    quorum_queue: TaskQueue, rabbitmq: RabbitMQServer
) -> None:
    """A sender may write our header, and the broker leaves it in place when it dead-letters the task."""
    other = TaskQueue(rabbitmq, quorum_queue.vhost, quorum_queue.type, "payments").declare()
    quorum_queue.dead.declare().send("x", ids=["a"], headers={"x-workqueue-queue": "payments"})
    done = dead_letters(quorum_queue, "replay")
    assert (done.returncode, done.stdout) == (1, "")
    assert "replayed 0; left 1 that name another queue: payments (1)" in done.stderr
    quorum_queue.dead.wait_for_counts(1, 0)
    assert dead_letters(quorum_queue, "replay", "--any-origin").stdout == "replayed 1\n"
    assert [body for _, body in quorum_queue.take_all()] == [b"x"]
    assert other.take_all() == []


@pytest.mark.any_rabbitmq
def test_tasks_without_an_id_can_be_seen_and_chosen(quorum_queue: TaskQueue) -> None:
    """As Celery's, which have a correlation id, and as a plain basic_publish, which has none."""
    with quorum_queue.dead.declare().channel() as channel:
        channel.confirm_delivery()
        for body, properties in ((b"celery", {"correlation_id": "c-1", "type": "\x1b[2J"}), (b"plain", {})):
            channel.basic_publish("", quorum_queue.dead.name, body, pika.BasicProperties(delivery_mode=2, **properties))
    shown = dead_letters(quorum_queue, "list", "--show")
    assert "\x1b" not in shown.stdout
    assert "  type: \\x1b[2J\n" in shown.stdout
    assert "    celery\n" in shown.stdout
    keys = [json.loads(line)["id"] for line in dead_letters(quorum_queue, "list", "--json").stdout.splitlines()]
    assert keys[0] == "c-1"
    assert re.fullmatch("sha256:[0-9a-f]{16}", keys[1])
    assert dead_letters(quorum_queue, "replay", "--id", keys[1]).stdout == "replayed 1\n"
    assert [body for _, body in quorum_queue.take_all()] == [b"plain"]


@pytest.mark.any_rabbitmq
def test_an_unknown_id_is_an_error(quorum_queue: TaskQueue) -> None:
    dead_letter(quorum_queue, "a")
    for words in (("drop", "--yes"), ("replay",), ("list",)):
        done = dead_letters(quorum_queue, *words, "--id", "nosuch")
        assert done.returncode == 1
        assert "no task with id nosuch is there" in done.stderr
    quorum_queue.dead.wait_for_counts(1, 0)


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize(("end", "code"), [("| head -1", 0), ("| true", 0), (">&-", 0), ("> /dev/full", 1)])
def test_a_list_that_cannot_be_written_ends_without_a_traceback(quorum_queue: TaskQueue, end: str, code: int) -> None:
    dead_letter(quorum_queue, *(f"m{number}" for number in range(50)))
    words = f"{sys.executable} -m workqueue_worker dead-letters list --queue {quorum_queue.name}"
    environment = os.environ | {"AMQP_URL": quorum_queue.uri}
    done = subprocess.run(
        ["bash", "-c", f"{words} {end}; exit ${{PIPESTATUS[0]}}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code
    expected = "workqueue-worker: [Errno 28] No space left on device\n" if code else ""
    assert done.stderr == expected
    quorum_queue.dead.wait_for_counts(50, 0)


@pytest.mark.any_rabbitmq
def test_a_drop_deletes_for_good_and_only_when_asked_to(quorum_queue: TaskQueue) -> None:
    dead_letter(quorum_queue, "a", "b")
    assert dead_letters(quorum_queue, "drop").returncode == 2
    quorum_queue.dead.wait_for_counts(2, 0)
    assert dead_letters(quorum_queue, "drop", "--id", "a", "--yes").stdout == "dropped 1\n"
    quorum_queue.dead.wait_for_counts(1, 0)
    assert dead_letters(quorum_queue, "drop", "--yes").stdout == "dropped 1\n"
    quorum_queue.dead.wait_for_counts(0, 0)


@pytest.mark.parametrize("action", ["list", "replay"])
def test_where_nothing_was_ever_dead_lettered_it_says_so(quorum_queue: TaskQueue, action: str) -> None:
    done = dead_letters(quorum_queue, action)
    assert done.returncode == 1
    assert "no queue 'task_queue.dead', so no task of 'task_queue' was dead-lettered yet" in done.stderr
    assert "404" not in done.stderr
