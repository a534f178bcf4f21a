"""What a handler gets and may raise."""

from datetime import timedelta

import pytest
from workqueue_worker.command import environment_of
from workqueue_worker.handlers import PythonHandler
from workqueue_worker.settlement import Failed, FailureReason
from workqueue_worker.task import Retry, Task


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


def test_the_trace_context_is_passed_on() -> None:
    traced = task(headers={"traceparent": "00-a-b-01"})
    assert traced.traceparent == "00-a-b-01"
    assert environment_of(traced)["TRACEPARENT"] == "00-a-b-01"
    assert task(headers={"traceparent": b"\xff"}).traceparent is None


def test_a_number_given_to_retry_is_the_delay() -> None:
    assert raising(Retry(30)).run(b"", task()) == Failed(FailureReason.EXCEPTION, "the handler asks for a retry", 30.0)
    assert raising(Retry("busy")).run(b"", task()) == Failed(FailureReason.EXCEPTION, "busy", None)


def test_a_test_of_a_handler_needs_no_more_than_a_task() -> None:
    assert (Task().attempt, Task().headers, Task().enqueued_at, Task(id="x").id) == (1, {}, None, "x")
    assert not Task().cancelled.is_set()


@pytest.mark.parametrize("retry", [Retry(timedelta(minutes=1)), Retry("busy", delay=timedelta(minutes=1))])
def test_a_delay_may_be_a_timedelta(retry: Retry) -> None:
    assert retry.delay == 60.0
