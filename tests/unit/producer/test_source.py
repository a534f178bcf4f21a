"""Whatever stops new-task's input, and wherever: each task was given out or is among the rest."""

import os
import signal
import threading
from pathlib import Path

import pytest
from workqueue_producer.interruption import Interruption
from workqueue_producer.options import parse
from workqueue_producer.source import Source
from workqueue_producer.task import Task
from workqueue_producer.task_file import BadTaskFile
from workqueue_producer.unconfirmed_file import add_unconfirmed

from tests.support.interrupted import SignalAtStep, listening

BODIES = [b"%d" % number for number in range(6)]


def arguments_for(kind: str, directory: Path) -> list[str]:
    if kind == "words":
        return ["x", "--repeat", "6"]
    if kind == "resend":
        add_unconfirmed(directory / "left", (Task(body, body.decode()) for body in BODIES))
        return ["--resend", str(directory / "left")]
    (directory / "lines").write_bytes(b"\n".join(BODIES[:3]) + b"\n")
    return ["--file", str(directory / "lines"), "--repeat", "2"]


@pytest.mark.parametrize("pace", [(), ("--rate", "1e6")], ids=["no rate", "rate"])
@pytest.mark.parametrize("kind", ["words", "resend", "file"])
def test_a_signal_at_any_step_loses_no_task(kind: str, pace: tuple[str, ...], tmp_path: Path) -> None:
    options = parse([*arguments_for(kind, tmp_path), *pace], {})
    with listening() as interruption:
        source = Source(options, interruption)
        everything = list(source)
        if kind == "resend":
            source.keep(everything)
    assert len(everything) == 6
    given_out: set[int] = set()
    came = True
    step = 0
    while came:
        step += 1
        with listening() as interruption:
            source, taken = Source(options, interruption), []
            with SignalAtStep(step) as at:
                for task in source:
                    taken.append(task)  # noqa: PERF402 - a task that was given out is not forgotten when the next fails
            came = at.came
            assert (interruption.signal is not None) == came
            assert [*taken, *source.rest()] == everything
            if kind == "resend":
                source.keep(everything)
        given_out.add(len(taken))
    assert given_out == set(range(7))  # it did come before, between and after all of them


def test_a_named_pipe_gives_its_lines_and_has_no_known_total(tmp_path: Path) -> None:
    stream = tmp_path / "stream"
    os.mkfifo(stream)
    source = Source(parse(["--file", str(stream)], {}), Interruption())
    writer = threading.Thread(target=stream.write_bytes, args=(b"1\n2\n",))
    assert source.total() is None
    writer.start()
    assert [task.body for task in source] == [b"1", b"2"]
    writer.join()


def test_a_signal_ends_the_wait_for_the_writer_of_a_named_pipe(tmp_path: Path) -> None:
    stream = tmp_path / "stream"
    os.mkfifo(stream)
    with listening() as interruption:
        source = Source(parse(["--file", str(stream)], {}), interruption)
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        assert list(source) == []
        assert interruption.signal == signal.SIGTERM
        timer.join()


def test_a_signal_that_came_just_before_the_wait_ends_it_too() -> None:
    with listening() as interruption:
        signal.raise_signal(signal.SIGINT)
        assert not interruption.wait(None)
        assert not interruption.wait(1e300)


def test_what_was_read_before_an_error_is_given_out_and_the_error_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"1\n2\n")
    source = Source(parse(["--file", str(file), "--repeat", "2"], {}), Interruption())
    taken = []
    for task in source:
        taken.append(task.body)
        file.unlink(missing_ok=True)
    assert taken == [b"1", b"2"]
    assert list(source.rest()) == []
    assert source.error == f"cannot read {file}: No such file or directory"
    assert source.is_unread


@pytest.mark.parametrize(
    ("flags", "words"),
    [(("--repeat", "2", "--file"), "--repeat: .* read only once"), (("--resend",), "--resend: .* is not a file")],
    ids=["repeat", "resend"],
)
def test_a_pipe_can_be_neither_repeated_nor_rewritten(tmp_path: Path, flags: tuple[str, ...], words: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadTaskFile, match=words):
        Source(parse([*flags, str(tmp_path / "pipe")], {}), Interruption())


def test_a_folder_is_no_input(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        Source(parse(["--file", str(tmp_path)], {}), Interruption())
