"""The unconfirmed file under several runs at once, and under kill -9 at every step: no task is lost or forgotten."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from workqueue_producer.task import Task
from workqueue_producer.task_file import BadTaskFile, read_unconfirmed
from workqueue_producer.unconfirmed_file import TakenTasks, add_unconfirmed

forks = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def tasks(*ids: str) -> list[Task]:
    return [Task(f"body of {name}".encode(), name) for name in ids]


def ids(found: list[Task]) -> list[str]:
    return [str(task.message_id) for task in found]


def names(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "left"


def test_what_another_run_adds_during_a_resend_stays(file: Path) -> None:
    add_unconfirmed(file, tasks("a", "b"))
    taken = TakenTasks(file)
    add_unconfirmed(file, tasks("c"))
    assert ids(taken.tasks) == ["a", "b"]
    assert taken.give_back([]) == 0
    assert ids(list(read_unconfirmed(file))) == ["c"]
    assert names(file.parent) == ["left"]


def test_a_resent_file_keeps_only_what_is_left_and_goes_when_nothing_is(file: Path) -> None:
    add_unconfirmed(file, tasks("a", "b"))
    assert TakenTasks(file).give_back(tasks("b")) == 1
    assert ids(list(read_unconfirmed(file))) == ["b"]
    assert TakenTasks(file).give_back([]) == 0
    assert names(file.parent) == []


def test_two_resends_never_have_one_task(file: Path) -> None:
    add_unconfirmed(file, tasks("a"))
    first = TakenTasks(file)
    with pytest.raises(BadTaskFile, match=r"another new-task is sending the tasks of .*left now"):
        TakenTasks(file)
    add_unconfirmed(file, tasks("b"))
    second = TakenTasks(file)
    assert (ids(first.tasks), ids(second.tasks)) == (["a"], ["b"])
    first.give_back(first.tasks)
    second.give_back(second.tasks)
    assert sorted(ids(list(read_unconfirmed(file)))) == ["a", "b"]


def test_a_file_that_a_resend_has_taken_cannot_be_taken_by_its_new_name(file: Path) -> None:
    add_unconfirmed(file, tasks("a"))
    taken = TakenTasks(file)
    descriptor = os.open(taken.files[0], os.O_RDWR)
    assert names(file.parent) == [taken.files[0].name]
    os.close(descriptor)
    add_unconfirmed(file, tasks("b"))  # does not wait for the lock of the taken one
    taken.give_back([])


@forks
@pytest.mark.parametrize(
    ("left", "other"), [((), False), (("b", "d"), True)], ids=["nothing left", "some left, and another run adds"]
)
def test_a_kill_at_any_step_of_a_resend_leaves_each_task_to_the_next(
    tmp_path: Path, left: tuple[str, ...], other: bool
) -> None:
    everything = {"a", "b", "c", "d"}
    killed = 0
    while True:
        file = tmp_path / str(killed) / "left"
        file.parent.mkdir()
        add_unconfirmed(file, tasks(*sorted(everything)))

        def resend(file: Path = file) -> None:
            taken = TakenTasks(file)
            if other:
                add_unconfirmed(file, tasks("e"))
            taken.give_back(tasks(*left))

        if not _killed_at_step(killed + 1, resend):
            break
        killed += 1
        found = _next_resend(file)
        assert len(found) == len(set(found)), "a task that is in two files is sent once"
        if not set(found) >= everything:  # it was killed after it had written back
            assert set(found) - {"e"} == set(left)
        assert names(file.parent) == []
    assert killed > 20


@forks
def test_a_kill_at_any_step_of_adding_loses_none_of_what_was_there(tmp_path: Path) -> None:
    killed = 0
    while True:
        file = tmp_path / str(killed)
        add_unconfirmed(file, tasks("a", "b"))
        if not _killed_at_step(killed + 1, partial(add_unconfirmed, file, tasks("c", "d"))):
            break
        killed += 1
        assert ids(list(read_unconfirmed(file))) in (["a", "b"], ["a", "b", "c", "d"])
    assert killed > 10


def test_many_that_add_and_resend_at_once_lose_nothing(file: Path) -> None:
    """Threads are as good as processes here: a lock belongs to an open file."""
    sent: list[str] = []
    added = [f"{run}-{number}" for run in range(8) for number in range(25)]
    adding = [
        threading.Thread(target=lambda run=run: [add_unconfirmed(file, tasks(f"{run}-{n}")) for n in range(25)])
        for run in range(8)
    ]
    ended = threading.Event()

    def resend() -> None:
        while not ended.is_set() or file.exists():
            try:
                taken = TakenTasks(file)
            except (FileNotFoundError, BadTaskFile):
                continue
            half = len(taken.tasks) // 2
            sent.extend(ids(taken.tasks[half:]))
            taken.give_back(taken.tasks[:half])

    resending = [threading.Thread(target=resend) for _ in range(2)]
    for thread in [*adding, *resending]:
        thread.start()
    for thread in adding:
        thread.join()
    ended.set()
    for thread in resending:
        thread.join()
    assert sorted(sent) == sorted(added)
    assert names(file.parent) == []


def test_a_bad_line_leaves_every_file_where_it_is(file: Path) -> None:
    file.write_text('{"body": "good"}\nbad\n', encoding="utf-8")
    with pytest.raises(BadTaskFile, match=r"left:2: not a task"):
        TakenTasks(file)
    assert names(file.parent) == ["left"]
    add_unconfirmed(file, tasks("c"))  # its lock is free again
    assert file.read_text(encoding="utf-8").startswith('{"body": "good"}\nbad\n')


def test_a_line_that_was_cut_off_takes_no_other_with_it(file: Path) -> None:
    file.write_text('{"body": "good"}\n{"body": "ha', encoding="utf-8")
    with pytest.raises(BadTaskFile, match=r"left:2: not a task \(its end is missing; .* take the line out\)"):
        TakenTasks(file)
    add_unconfirmed(file, tasks("c"))
    lines = file.read_text(encoding="utf-8").splitlines()
    assert (lines[1], len(lines)) == ('{"body": "ha', 3)


def test_a_link_is_followed_so_that_the_rename_stays_in_its_file_system(file: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    add_unconfirmed(elsewhere / "real", tasks("a", "b"))
    file.symlink_to(elsewhere / "real")
    TakenTasks(file).give_back(tasks("b"))
    assert file.is_symlink()
    assert ids(list(read_unconfirmed(elsewhere / "real"))) == ["b"]
    assert names(elsewhere) == ["real"]


def test_a_pipe_takes_tasks_as_it_has_no_lock(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert add_unconfirmed(pipe, tasks("a")) == 1
    assert os.read(reader, 100).startswith(b'{"message_id": "a"')
    os.close(reader)


def test_what_cannot_be_written_back_stays_taken_for_the_next(file: Path) -> None:
    add_unconfirmed(file, tasks("a", "b"))
    taken = TakenTasks(file)
    file.mkdir()  # as good as a full disk, for root too
    with pytest.raises(OSError, match="Is a directory"):
        taken.give_back(tasks("b"))
    file.rmdir()
    assert ids(TakenTasks(file).tasks) == ["a", "b"]


def _next_resend(file: Path) -> list[str]:
    try:
        taken = TakenTasks(file)
    except FileNotFoundError:
        return []
    taken.give_back([])
    return ids(taken.tasks)


def _killed_at_step(step: int, work: Callable[[], object]) -> bool:
    """Do the work in a forked child that kills itself just before the `step`-th line of ours; False: it had fewer."""
    child = os.fork()
    if child == 0:
        left = step

        def on_line(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return on_line

        def on_call(frame: FrameType, event: str, _: Any) -> Any:
            return on_line if "unconfirmed_file" in Path(frame.f_code.co_filename).name.removeprefix("test_") else None

        try:
            sys.settrace(on_call)
            work()
        except BaseException:  # noqa: BLE001 - a child of pytest must end here, whatever came
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0
