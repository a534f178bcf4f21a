"""Handlers: what a function may be, and what its ends mean."""

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from workqueue_worker.cancellation import Cancellation
from workqueue_worker.command import CommandHandler, environment_of
from workqueue_worker.handlers import HandlerError, PythonHandler, load_function, tutorial
from workqueue_worker.outcomes import one_line
from workqueue_worker.settlement import Failed, FailureReason, Finished, Rejected
from workqueue_worker.task import Reject, Retry, Task

from tests.support.waiting import wait_until


def task(**changes: object) -> Task:
    values: dict[str, object] = {
        "id": "m1",
        "queue": "q",
        "attempt": 1,
        "redelivered": False,
        "headers": {},
        "content_type": None,
        "enqueued_time": None,
    }
    return Task(**(values | changes))  # type: ignore[arg-type]


def raising(error: BaseException) -> PythonHandler:
    def function(_body: bytes, _task: Task) -> None:
        raise error

    return PythonHandler(function)


def test_a_return_is_the_end_of_the_task_whatever_it_returns() -> None:
    for value in (None, False, 1, "no", object()):
        assert PythonHandler(lambda _body, _task, value=value: value).run(b"", task()) == Finished()


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


def test_an_errors_text_is_one_line_of_bounded_length() -> None:
    assert one_line(ValueError("a\nb\t c")) == "a b c"
    assert len(one_line(ValueError("x" * 10_000))) == 500


def test_the_tutorials_handler_ends_when_it_is_told_to() -> None:
    told = threading.Event()
    told.set()
    with pytest.raises(Retry):
        tutorial(b"." * 1000, task(cancelled=told))


def test_the_tutorials_handler_parks_what_it_cannot_decode() -> None:
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


def test_the_trace_context_is_passed_on() -> None:
    traced = task(headers={"traceparent": "00-a-b-01"})
    assert traced.traceparent == "00-a-b-01"
    assert environment_of(traced)["TRACEPARENT"] == "00-a-b-01"
    assert task(headers={"traceparent": b"\xff"}).traceparent is None


def test_a_number_given_to_retry_is_the_delay() -> None:
    assert raising(Retry(30)).run(b"", task()) == Failed(FailureReason.EXCEPTION, "the handler asks for a retry", 30.0)
    assert raising(Retry("busy")).run(b"", task()) == Failed(FailureReason.EXCEPTION, "busy", None)


def test_a_handler_module_that_ends_the_program_is_an_error_and_no_way_to_leave_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_script.py").write_text("raise SystemExit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(HandlerError, match="SystemExit: 0"):
        load_function("a_script:handle")


def test_an_errors_text_that_no_message_can_carry_is_escaped() -> None:
    assert one_line(ValueError("\udcff")) == "\\udcff"


def test_headers_of_every_kind_reach_a_command_as_json() -> None:
    strange = {"nan": float("nan"), "bytes": b"\xff", "nested": {"\\xff": [b"\xfe", None, 1.5]}, 5: 6}
    text = environment_of(task(headers=strange))["TASK_HEADERS"]
    found = json.loads(text, parse_constant=pytest.fail)
    assert found == {"nan": "nan", "bytes": "b'\\xff'", "nested": {"\\xff": ["b'\\xfe'", None, 1.5]}, "5": 6}


def test_a_command_that_ends_in_order_when_told_to_end_has_done_its_work(tmp_path: Path) -> None:
    def run(ends_with: str) -> object:
        (tmp_path / "ready").unlink(missing_ok=True)
        script = f"trap '{ends_with}' TERM; touch {tmp_path}/ready; while true; do sleep 0.01; done"
        told = Cancellation()
        outcomes: list[object] = []
        work = CommandHandler(["sh", "-c", script])
        thread = threading.Thread(target=lambda: outcomes.append(work.run(b"", task(cancelled=told))))
        thread.start()
        wait_until((tmp_path / "ready").exists, 30, "the command runs")
        told.set()
        thread.join()
        return outcomes[0]

    assert run("exit 0") == Finished()
    assert isinstance(run("exit 1"), Failed)


def test_a_command_that_has_ended_gets_no_late_signal(tmp_path: Path) -> None:
    """Its number may be another's by then. A child that it left behind listens in its place."""
    told = Cancellation()
    child = f"""
        trap 'touch {tmp_path}/ended' TERM; trap 'touch {tmp_path}/asked' WINCH; touch {tmp_path}/listens
        while true; do sleep 0.01; done"""
    script = f'sh -c "$0" & echo $! > {tmp_path}/child; until [ -e {tmp_path}/listens ]; do sleep 0.01; done'
    assert CommandHandler(["sh", "-c", script, child]).run(b"", task(cancelled=told)) == Finished()
    number = int((tmp_path / "child").read_text())
    told.set()
    os.kill(number, signal.SIGWINCH)  # the higher number: a shell looks at it after SIGTERM
    wait_until((tmp_path / "asked").exists, 30, "the child has looked at its signals")
    os.kill(number, signal.SIGKILL)
    assert not (tmp_path / "ended").exists()


def test_a_command_runs_where_python_has_no_waitid() -> None:
    """As on macOS before Python 3.13, in a process of its own."""
    program = """
import os
del os.waitid
from workqueue_worker.command import CommandHandler
from workqueue_worker.task import Task
print(CommandHandler(["sh", "-c", "cat > /dev/null; exit 3"]).run(b"body", Task()))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=50)
    assert "the command ended with exit code 3" in ran.stdout, ran.stderr


def test_a_nul_in_metadata_is_an_escape_as_no_environment_can_hold_it() -> None:
    nul = task(id="a\x00b", app_id="\x00", headers={"h": "\x00"})
    known = environment_of(nul)
    assert (known["TASK_ID"], known["TASK_APP_ID"]) == ("a\\x00b", "\\x00")
    assert CommandHandler(["true"]).run(b"", nul) == Finished()


DESCRIBED = {
    "content_encoding": "gzip",
    "correlation_id": "c1",
    "reply_to": "answers",
    "type": "order",
    "app_id": "shop",
    "user_id": "guest",
    "expiration": "60000",
    "priority": 5,
}


def test_a_command_sees_all_properties_and_only_those_that_are_there() -> None:
    known = environment_of(task(**DESCRIBED))
    assert {f"TASK_{name.upper()}": str(value) for name, value in DESCRIBED.items()}.items() <= known.items()
    assert set(environment_of(Task())) == {"TASK_QUEUE", "TASK_ATTEMPT", "TASK_REDELIVERED", "TASK_HEADERS"}


def test_a_test_of_a_handler_needs_no_more_than_a_task() -> None:
    assert (Task().attempt, Task().headers, Task().enqueued_at, Task(id="x").id) == (1, {}, None, "x")
    assert not Task().cancelled.is_set()


@pytest.mark.parametrize("retry", [Retry(timedelta(minutes=1)), Retry("busy", delay=timedelta(minutes=1))])
def test_a_delay_may_be_a_timedelta(retry: Retry) -> None:
    assert retry.delay == 60.0


def test_a_cancellation_calls_back_once_before_or_after_it_was_set() -> None:
    calls: list[str] = []
    early, late = Cancellation(), Cancellation()
    early.call(lambda: calls.append("early"))
    early.set()
    early.set()
    late.set()
    late.call(lambda: calls.append("late"))
    assert calls == ["early", "late"]
