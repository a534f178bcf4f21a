"""What becomes of submitted tasks when the program, its `with` block, its event loop or its process ends or forks."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from workqueue_broker.address import BrokerAddress
from workqueue_broker.declaration import QueueDeclaration
from workqueue_producer import NotConfirmed, Publisher, PublisherClosed, PublisherSettings, Task
from workqueue_producer.publisher import _close_all

from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until

pytestmark = pytest.mark.any_rabbitmq

AWAY = BrokerAddress.from_uri("amqp://127.0.0.1:1")
PROGRAM = """
import sys
from workqueue_broker.address import BrokerAddress
from workqueue_broker.declaration import QueueDeclaration, QueueType
from workqueue_producer import Publisher, Task

def publisher():
    return Publisher(BrokerAddress.from_uri(sys.argv[1]), QueueDeclaration("task_queue", QueueType(sys.argv[2])))

"""
SUBMIT = "for number in range(500): publisher.submit(Task(b'x', f'id-{number}'))\n"


def program(lines: str, directory: Path, uri: str, queue_type: str = "Quorum") -> "subprocess.CompletedProcess[str]":
    """Run it in a process of its own, to its end."""
    (directory / "program.py").write_text(PROGRAM + lines, encoding="utf-8")
    command = [sys.executable, "program.py", uri, queue_type]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=60)


def ids(queue: TaskQueue) -> list[str]:
    return [properties.message_id for properties, _ in queue.take_all()]


@pytest.fixture
def away() -> Iterator[Publisher]:
    publisher = Publisher(AWAY, QueueDeclaration("task_queue"), PublisherSettings(window=3))
    yield publisher
    publisher.close(0)


@pytest.mark.once
def test_what_was_submitted_before_the_program_ends_is_confirmed(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    done = program("publisher = publisher()\n" + SUBMIT, tmp_path, quorum_queue.uri, quorum_queue.type)
    assert (done.returncode, done.stderr) == (0, "")
    assert ids(quorum_queue) == [f"id-{number}" for number in range(500)]


@pytest.mark.once
def test_a_publisher_that_was_dropped_sends_what_it_was_given(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    lines = "def send():\n    one = publisher()\n    one.submit(b'x').add_done_callback(print)\nsend()\n"
    done = program(lines, tmp_path, quorum_queue.uri)
    assert (done.returncode, done.stderr) == (0, "")
    assert "finished returned str" in done.stdout  # the callback ran, though the program was at its end
    assert len(ids(quorum_queue)) == 1


LEDGER = """
import os
publisher = publisher()
number = 0
while True:
    number += 1
    future = publisher.submit(Task(b"x", f"id-{number}"))
    future.add_done_callback(lambda future: os.write(1, future.result().encode() + b"\\n"))  # in one piece
"""


@pytest.mark.once
@pytest.mark.kills
def test_a_kill_at_any_moment_loses_nothing_that_was_called_confirmed(
    task_queue: TaskQueue, tmp_path: Path, rounds: int
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM + LEDGER, encoding="utf-8")
    command = [sys.executable, "program.py", task_queue.uri, task_queue.type]
    for lines in (1, 37, 1500) * rounds:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        ledger = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        ledger += process.communicate()[0].splitlines(keepends=True)
        confirmed = {line.removesuffix("\n") for line in ledger if line.endswith("\n")}
        assert len(confirmed) >= lines
        assert confirmed <= set(ids(task_queue))


def test_a_program_that_ends_while_the_broker_blocks_names_what_the_queue_has_not(
    own_quorum_queue: TaskQueue, tmp_path: Path
) -> None:
    lines = f"publisher = publisher()\n{SUBMIT}publisher.flush()\nprint('sent', flush=True)\ninput()\n"
    lines += "for number in range(500, 700): publisher.submit(Task(b'x', f'id-{number}'))\n"
    (tmp_path / "program.py").write_text(PROGRAM + lines, encoding="utf-8")
    command = [sys.executable, "program.py", own_quorum_queue.uri, "Quorum"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "sent\n"
    own_quorum_queue.server.set_memory_alarm(True)
    _, err = process.communicate("\n", timeout=60)
    named = set(re.findall(r"id-\d+", err))
    assert named == {f"id-{number}" for number in range(500, 700)}
    assert set(ids(own_quorum_queue)) | named == {f"id-{number}" for number in range(700)}


def test_what_is_not_confirmed_at_the_end_of_the_program_is_named(tmp_path: Path) -> None:
    done = program("publisher = publisher()\n" + SUBMIT, tmp_path, str(AWAY))
    assert "queue task_queue: 500 submitted tasks not confirmed: " in done.stderr
    assert all(f"id-{number}" in done.stderr for number in range(500))


def test_publishers_are_closed_side_by_side() -> None:
    """One whose broker is away keeps no other from being closed, nor from saying goodbye."""
    publishers = [Publisher(AWAY, QueueDeclaration(name)) for name in ("one", "two", "three")]
    futures = [publisher.submit(b"x") for publisher in publishers]
    closing = threading.Thread(target=_close_all)
    closing.start()
    wait_until(lambda: all(publisher._outbox.closed for publisher in publishers), 60, "all take nothing more")
    assert [future.done() for future in futures] == [False] * 3
    for publisher in publishers:
        publisher._outbox.abandon(list(publisher._outbox._queue))  # so that they wait no longer
    closing.join(60)
    assert [future.done() for future in futures] == [True] * 3


@pytest.mark.once
def test_an_exception_in_the_block_stays_and_what_was_submitted_is_confirmed(
    quorum_queue: TaskQueue, tmp_path: Path
) -> None:
    lines = f"with publisher() as publisher:\n    {SUBMIT}    raise ValueError('mine')\n"
    done = program(lines, tmp_path, quorum_queue.uri)
    assert done.stderr.endswith("ValueError: mine\n")
    assert len(ids(quorum_queue)) == 500


def left_in_a_block(error: Exception | None) -> None:
    with Publisher(AWAY, QueueDeclaration("task_queue")) as publisher:
        publisher.submit(Task(b"x", "left"))
        publisher.close(0)
        if error is not None:
            raise error


def test_an_exception_in_the_block_has_a_note_about_what_is_not_confirmed() -> None:
    with pytest.raises(ValueError, match="mine") as raised:
        left_in_a_block(ValueError("mine"))
    [note] = raised.value.__notes__
    assert note.startswith("1 message not confirmed: ")
    assert note.endswith("ids: left")


def test_a_block_that_ends_with_something_unconfirmed_raises() -> None:
    with pytest.raises(NotConfirmed, match="ids: left") as raised:
        left_in_a_block(None)
    assert [task.message_id for task in raised.value.tasks] == ["left"]


def test_a_block_does_not_wait_for_what_its_caller_gave_up() -> None:
    with (
        pytest.raises(NotConfirmed, match="ids: given-up") as raised,
        Publisher(AWAY, QueueDeclaration("task_queue")) as publisher,
    ):
        publisher.publish(Task(b"x", "given-up"), timeout=0.1)
    assert not hasattr(raised.value, "__notes__")
    assert publisher._outbox.unsettled == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_ends_at_once_whatever_the_parent_was_doing(away: Publisher) -> None:
    away.submit(b"the parent's")
    with away._outbox._room:  # as when another thread was publishing
        child = os.fork()
        if child == 0:
            code = 7
            for call in (lambda: away.flush(600), lambda: away.submit(b"x"), lambda: away.publish_many([b"x"])):
                try:
                    call()
                except PublisherClosed:
                    continue
                code = 1
            away.close(600)
            away.__exit__(None, None, None)
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_callbacks_that_raise_exit_or_hang_stop_no_task(quorum_queue: TaskQueue) -> None:
    hang = threading.Event()
    heard: list[str] = []
    address = quorum_queue.server.address(quorum_queue.vhost)
    try:
        with Publisher(address, QueueDeclaration(quorum_queue.name)) as publisher:
            publisher.submit(b"1").add_done_callback(lambda _: sys.exit("of a caller"))
            publisher.submit(b"2").add_done_callback(lambda _: hang.wait())
            publisher.submit(b"3").add_done_callback(lambda future: heard.append(future.result()))
            assert publisher.publish(b"4", timeout=30)
            wait_until(lambda: heard, 30, "the third callback has run")
            publisher.close(0.1)
    finally:
        hang.set()
    assert len(ids(quorum_queue)) == 4


async def test_a_coroutine_publishes_with_all_properties(quorum_queue: TaskQueue) -> None:
    address = quorum_queue.server.address(quorum_queue.vhost)
    publisher = Publisher(address, QueueDeclaration(quorum_queue.name, quorum_queue.type))
    task = Task(b"{}", "mine", {"n": 1}, "application/json", 3, 3_600_000, "request 5", "order")
    assert await publisher.publish_async(task) == "mine"
    await asyncio.to_thread(publisher.close)
    [(properties, body)] = quorum_queue.take_all()
    assert (body, properties.message_id, properties.headers["n"]) == (b"{}", "mine", 1)
    assert (properties.content_type, properties.priority) == ("application/json", 3)
    assert (properties.expiration, properties.correlation_id, properties.type) == ("3600000", "request 5", "order")


async def test_a_full_window_leaves_the_event_loop_to_others(away: Publisher) -> None:
    waiting = [asyncio.create_task(away.publish_async(Task(b"x", f"id-{n}"), timeout=0.5)) for n in range(20)]
    for _ in range(100):
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, NotConfirmed)]
    assert [outcome.tasks[0].message_id for outcome in refused] == [f"id-{n}" for n in range(20)]
    assert away._outbox._calls == {}


async def test_a_cancelled_coroutine_s_task_is_not_sent_later(own_quorum_queue: TaskQueue) -> None:
    server = own_quorum_queue.server
    publisher = Publisher(server.address(), QueueDeclaration("task_queue"), PublisherSettings(window=1))
    server.set_memory_alarm(True)
    first = asyncio.create_task(publisher.publish_async(Task(b"x", "first")))
    second = asyncio.create_task(publisher.publish_async(Task(b"x", "cancelled")))
    third = asyncio.create_task(publisher.publish_async(Task(b"x", "third")))
    await asyncio.to_thread(wait_until, lambda: len(publisher._outbox._calls) == 2, 30, "two wait for room")
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    server.set_memory_alarm(False)
    assert [await first, await third] == ["first", "third"]
    await asyncio.to_thread(publisher.close)
    assert ids(own_quorum_queue) == ["first", "third"]


def test_several_event_loops_share_one_publisher(quorum_queue: TaskQueue) -> None:
    address = quorum_queue.server.address(quorum_queue.vhost)
    publisher = Publisher(address, QueueDeclaration(quorum_queue.name), PublisherSettings(window=5))
    confirmed: list[str] = []

    async def publish(name: str) -> None:
        tasks = [publisher.publish_async(Task(b"x", f"{name}-{number}")) for number in range(100)]
        confirmed.extend(await asyncio.gather(*tasks))

    threads = [threading.Thread(target=lambda name=name: asyncio.run(publish(name))) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    publisher.close()
    assert sorted(confirmed) == sorted(ids(quorum_queue)) == sorted(f"{name}-{n}" for name in "abc" for n in range(100))


def test_a_loop_that_was_closed_early_stops_no_one_else(own_quorum_queue: TaskQueue) -> None:
    own_quorum_queue.server.set_memory_alarm(True)
    publisher = Publisher(own_quorum_queue.server.address(), QueueDeclaration("task_queue"))
    loop = asyncio.new_event_loop()
    left = loop.create_task(publisher.publish_async(b"x"))
    loop.run_until_complete(asyncio.sleep(0.01))
    future = publisher.submit(b"y")
    loop.stop()
    loop.close()
    own_quorum_queue.server.set_memory_alarm(False)
    assert future.result(60)
    publisher.close()
    setattr(left, "_log_destroy_pending", False)  # noqa: B010 - asyncio's own; the loop closed too early on purpose


def test_the_log_has_one_line_for_each_change_and_none_of_the_library(
    own_quorum_queue: TaskQueue, caplog: pytest.LogCaptureFixture
) -> None:
    own_quorum_queue.server.stop()
    caplog.set_level("INFO")
    publisher = Publisher(own_quorum_queue.server.address(), QueueDeclaration("task_queue"))
    wait_until(lambda: publisher._link._attempts >= 4, 30, "it has tried to connect several times")
    own_quorum_queue.server.start()
    publisher.publish(b"x", timeout=60)
    publisher.close()
    assert {record.name.partition(".")[0] for record in caplog.records if record.name.startswith("pika")} == set()
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("workqueue_producer")]
    assert [line.partition(":")[0] for line in lines] == ["queue task_queue"] * 2
    assert "trying again until it works" in lines[0]
    assert "connected to" in lines[1]
