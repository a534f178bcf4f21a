"""Several runs of new-task with one unconfirmed file, some of them killed: each task is in the queue or in the file."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random, randrange

import pytest
from workqueue_producer.task import Task
from workqueue_producer.unconfirmed_file import add_unconfirmed

from tests.support.new_task import new_task, start_new_task
from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until

pytestmark = pytest.mark.any_rabbitmq

AWAY = "amqp://127.0.0.1:1"
#: Times that two resends are killed, in each round.
TURNS = 3


def ids(queue: TaskQueue) -> list[str]:
    return [properties.message_id for properties, _ in queue.take_all()]


def leave(file: Path, *names: str) -> None:
    add_unconfirmed(file, (Task(b"x", name) for name in names))


def test_what_another_run_adds_during_a_resend_is_still_there_for_the_next(
    quorum_queue: TaskQueue, tmp_path: Path
) -> None:
    file = tmp_path / "unconfirmed-tasks.jsonl"
    leave(file, "hour 0", "hour 1", "hour 2")
    resend = start_new_task(quorum_queue.uri, tmp_path, "--resend", file.name, "--rate", "1")
    wait_until(lambda: not file.exists(), 30, "the resend has taken the file")
    assert new_task(AWAY, tmp_path, "hour 3", "--timeout", "0.1").code == 1
    assert resend.wait(60) == 0
    resend.communicate()
    assert sorted(ids(quorum_queue)) == ["hour 0", "hour 1", "hour 2"]
    [left] = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert left["body"] == "hour 3"
    assert new_task(quorum_queue.uri, tmp_path, "--resend", file.name).code == 0
    assert ids(quorum_queue) == [left["message_id"]]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.once
@pytest.mark.kills
def test_resends_that_are_killed_while_others_add_and_resend_lose_no_task(
    quorum_queue: TaskQueue, tmp_path: Path, rounds: int
) -> None:
    seed = randrange(1_000_000)
    print(f"seed {seed}")
    random, file, added = Random(seed), tmp_path / "left", set[str]()
    there: set[str] = set()

    def add(prefix: str) -> None:
        names = {f"{prefix}-{number}" for number in range(40)}
        leave(file, *sorted(names))
        added.update(names)

    def has_sent(count: int) -> Callable[[], bool]:
        return lambda: quorum_queue.counts()[0] >= count

    for turn in range(TURNS * rounds):
        add(f"before-{turn}")
        resends = [start_new_task(quorum_queue.uri, tmp_path, "--resend", "left", "--rate", "100") for _ in range(2)]
        sent = random.randrange(1, 30)
        wait_until(has_sent(sent), 30, "a resend has sent some")
        add(f"during-{turn}")
        for resend in random.sample(resends, 2):
            resend.kill()
            resend.communicate()
        there.update(ids(quorum_queue))
    last = new_task(quorum_queue.uri, tmp_path, "--resend", "left")
    assert (last.code, last.err) == (0, "")
    there.update(ids(quorum_queue))
    assert there == added
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_may_not_be_taken_is_exit_code_2_before_anything_is_sent(
    quorum_queue: TaskQueue, tmp_path: Path
) -> None:
    """Its name has no room for the name that a resend gives it: a refusal that holds for root, too."""
    name = "left" + 248 * "_"
    leave(tmp_path / name, "a")
    run = new_task(quorum_queue.uri, tmp_path, "--resend", name)
    assert (run.code, run.out) == (2, "")
    assert f"--resend: cannot take {name}: File name too long; it and its folder must be writable" in run.err
    assert ids(quorum_queue) == []
    assert (tmp_path / name).exists()


def test_a_certificate_that_cannot_be_used_leaves_the_file_under_its_name(tmp_path: Path) -> None:
    leave(tmp_path / "left", "a")
    before = (tmp_path / "left").read_bytes()
    (tmp_path / "ca").write_text("no PEM", encoding="utf-8")
    run = new_task("amqps://127.0.0.1:1", tmp_path, "--resend", "left", AMQP_CA_FILE="ca")
    assert run.code == 2
    assert (tmp_path / "left").read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ca", "left"]


def test_the_properties_of_a_task_survive_the_unconfirmed_file(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    flags = ["--content-type", "application/json", "--priority", "7", "--expiration-ms", "3600000"]
    flags += ["--correlation-id", "request 5", "--type", "order"]
    assert new_task(AWAY, tmp_path, "{}", *flags, "--timeout", "0.1").code == 1
    assert new_task(quorum_queue.uri, tmp_path, "--resend", "unconfirmed-tasks.jsonl", "--priority", "8").code == 0
    [(properties, body)] = quorum_queue.take_all()
    assert (body, properties.content_type, properties.priority) == (b"{}", "application/json", 8)
    assert (properties.expiration, properties.correlation_id, properties.type) == ("3600000", "request 5", "order")
