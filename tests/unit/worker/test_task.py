"""What a handler gets and may raise."""

import runpy
from datetime import timedelta
from pathlib import Path

import pytest
from workqueue_worker.command import environment_of
from workqueue_worker.handlers import PythonHandler
from workqueue_worker.settlement import Failed, FailureReason
from workqueue_worker.task import Retry, Task

ROOT = Path(__file__).parents[3]


def raising(error: BaseException) -> PythonHandler:
    def function(_body: bytes, _task: Task) -> None:
        raise error

    return PythonHandler(function)


def test_the_trace_context_is_passed_on() -> None:
    traced = Task(headers={"traceparent": "00-a-b-01"})
    assert traced.traceparent == "00-a-b-01"
    assert environment_of(traced)["TRACEPARENT"] == "00-a-b-01"
    assert Task(headers={"traceparent": b"\xff"}).traceparent is None


def test_a_number_given_to_retry_is_the_delay() -> None:
    assert raising(Retry(30)).run(b"", Task()) == Failed(FailureReason.EXCEPTION, "the handler asks for a retry", 30.0)
    assert raising(Retry("busy")).run(b"", Task()) == Failed(FailureReason.EXCEPTION, "busy", None)


def test_a_test_of_a_handler_needs_no_more_than_a_task() -> None:
    assert (Task().attempt, Task().headers, Task().enqueued_at, Task(id="x").id) == (1, {}, None, "x")
    assert not Task().cancelled.is_set()


@pytest.mark.parametrize("retry", [Retry(timedelta(minutes=1)), Retry("busy", delay=timedelta(minutes=1))])
def test_a_delay_may_be_a_timedelta(retry: Retry) -> None:
    assert retry.delay == 60.0


def test_the_test_that_the_page_shows_runs_with_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of docs/write-a-task.md, with the handler of examples/01-own-handler."""
    page = (ROOT / "docs" / "write-a-task.md").read_text()
    shown = page.partition("## Test it without a broker")[2].partition("```python\n")[2].partition("```")[0]
    (tmp_path / "shown.py").write_text(shown)
    monkeypatch.syspath_prepend(ROOT / "examples" / "01-own-handler")
    tests = [value for name, value in runpy.run_path(str(tmp_path / "shown.py")).items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()
