"""Handlers: what a function may be, and what its ends mean."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workqueue_worker.handlers import HandlerError, PythonHandler, load_function, tutorial
from workqueue_worker.settlement import Failed, FailureReason, Finished, Rejected
from workqueue_worker.task import Reject, Retry, Task


def task(**changes: Any) -> Task:
    return Task(**({"id": "m1", "queue": "q"} | changes))


def raising(error: BaseException) -> PythonHandler:
    def function(_body: bytes, _task: Task) -> None:
        raise error

    return PythonHandler(function)


def returning(value: object) -> Callable[[bytes, Task], object]:
    return lambda _body, _task: value


def test_a_return_is_the_end_of_the_task_whatever_it_returns() -> None:
    for value in (None, False, 1, "no", object()):
        assert PythonHandler(returning(value)).run(b"", task()) == Finished()


def test_a_coroutine_is_awaited_and_its_exception_is_the_tasks() -> None:
    async def function(body: bytes, _task: Task) -> None:
        raise Reject(body.decode())

    assert PythonHandler(function).run(b"never", task()) == Rejected("never")


def test_retry_and_reject_mean_what_they_say() -> None:
    assert raising(Reject("bad input")).run(b"", task()) == Rejected("bad input")
    assert raising(Retry("busy", delay=3)).run(b"", task()) == Failed(FailureReason.EXCEPTION, "busy", 3)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(0), KeyboardInterrupt(), MemoryError(), GeneratorExit()])
def test_any_other_exception_is_a_failed_attempt(error: BaseException) -> None:
    outcome = raising(error).run(b"", task())
    assert isinstance(outcome, Failed)
    assert outcome.detail.startswith(type(error).__name__)


def test_the_tutorials_handler_ends_when_it_is_asked_to() -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Retry):
        tutorial(b"." * 1000, task(cancelled=cancelled))


def test_the_tutorials_handler_dead_letters_what_it_cannot_decode() -> None:
    with pytest.raises(Reject):
        tutorial(b"\xff", task())


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nothing", "must be written module:function"),
        ("no_such_module:f", "cannot be imported: ModuleNotFoundError"),
        ("json:no_such_function", "has no function no_such_function"),
    ],
)
def test_a_handler_that_cannot_be_had_is_said_with_the_reason(path: str, words: str) -> None:
    with pytest.raises(HandlerError, match=words):
        load_function(path)


def test_a_generator_is_refused_as_calling_it_would_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_generator_handler.py").write_text("def handle(body, task):\n    yield body\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(HandlerError, match="generator"):
        load_function("a_generator_handler:handle")


def test_a_handler_is_found_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_team_handler.py").write_text("def handle(body, task):\n    return None\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert load_function("a_team_handler:handle")(b"", task()) is None


def test_a_handler_module_that_ends_the_program_is_an_error_and_no_way_to_leave_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_script.py").write_text("raise SystemExit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(HandlerError, match="SystemExit: 0"):
        load_function("a_script:handle")
