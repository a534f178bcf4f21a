"""The future of a submitted task: as Python's own in every use, and cheap while nothing waits for it."""

import asyncio
import concurrent.futures
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from workqueue_producer.callbacks import Callbacks
from workqueue_producer.errors import NotConfirmed
from workqueue_producer.receipts import TaskFuture
from workqueue_producer.task import Message

from tests.support.waiting import wait_until

SECONDS = 30.0


def task_future() -> TaskFuture:
    return TaskFuture(Callbacks(), waited_for=False)


def settle(future: "Future[str]", error: Exception | None = None) -> None:
    """As the I/O thread settles ours, and as an executor settles Python's own."""
    if isinstance(future, TaskFuture):
        future.settle(Message(b"", "id", None, future, 0.0), error)
    elif error is None:
        future.set_result("id")
    else:
        future.set_exception(error)


def running() -> "Future[str]":
    future: Future[str] = Future()
    future.set_running_or_notify_cancel()
    return future


@pytest.fixture(params=[task_future, running], ids=["ours", "Python's own"])
def future(request: pytest.FixtureRequest) -> Any:
    return request.param()


def test_a_future_that_nothing_waits_for_costs_few_calls() -> None:
    """Python's own makes a condition and many calls, which took as much time as all the rest of a submit."""
    calls: list[str] = []
    callbacks = Callbacks()

    def count(frame: Any, event: str, _: object) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)

    sys.setprofile(count)
    future = TaskFuture(callbacks, waited_for=False)
    settle(future)
    result = future.result()
    sys.setprofile(None)
    assert result == "id"
    assert len(calls) <= 6, calls  # two of them are the test's own


def test_before_it_is_settled_it_is_running_and_cannot_be_cancelled(future: "Future[str]") -> None:
    assert (future.running(), future.done(), future.cancelled()) == (True, False, False)
    assert not future.cancel()
    with pytest.raises(TimeoutError):
        future.result(0)
    with pytest.raises(TimeoutError):
        future.exception(0)


def test_once_it_is_confirmed_it_has_the_id(future: "Future[str]") -> None:
    settle(future)
    assert (future.result(), future.exception()) == ("id", None)
    assert (future.running(), future.done(), future.cancelled(), future.cancel()) == (False, True, False, False)
    assert "finished returned str" in repr(future)


@pytest.mark.parametrize("asked_before", [False, True])
def test_once_it_has_failed_it_raises(future: "Future[str]", asked_before: bool) -> None:
    if asked_before:
        assert not future.done()
    settle(future, NotConfirmed("why", []))
    assert isinstance(future.exception(), NotConfirmed)
    for _ in range(2):
        with pytest.raises(NotConfirmed, match="why"):
            future.result()


WAYS: dict[str, Callable[["Future[str]"], object]] = {
    "result": lambda future: future.result(SECONDS),
    "exception": lambda future: future.exception(SECONDS) or future.result(),
    "wait": lambda future: concurrent.futures.wait([future], SECONDS).done.pop().result(),
    "as_completed": lambda future: next(concurrent.futures.as_completed([future], SECONDS)).result(),
    "asyncio": lambda future: asyncio.run(asyncio.wait_for(wrapped(future), SECONDS)),
    "callback": lambda future: called_back(future).result(SECONDS),
}


async def wrapped(future: "Future[str]") -> str:
    return await asyncio.wrap_future(future)


def called_back(future: "Future[str]") -> "Future[str]":
    heard: Future[str] = Future()
    future.add_done_callback(lambda given: heard.set_result(given.result()))
    return heard


@pytest.mark.parametrize("way", WAYS)
def test_a_caller_hears_of_what_is_settled_already(future: "Future[str]", way: str) -> None:
    settle(future)
    assert WAYS[way](future) == "id"


@pytest.mark.parametrize("way", WAYS)
def test_a_caller_that_waits_hears_of_it(future: "Future[str]", way: str) -> None:
    answers: list[object] = []
    caller = threading.Thread(target=lambda: answers.append(WAYS[way](future)))
    caller.start()
    wait_until(lambda: "_condition" in vars(future), 10, "the caller has asked")
    settle(future)
    caller.join(SECONDS)
    assert answers == ["id"]


def test_no_caller_is_forgotten_at_whatever_moment_it_asks() -> None:
    futures = [task_future() for _ in range(2000)]
    answers: list[list[str]] = [[], [], []]
    callers = [threading.Thread(target=lambda mine=mine: mine.extend(wait_for(futures))) for mine in answers]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for caller in callers:
            caller.start()
        for each in futures:
            settle(each)
        for caller in callers:
            caller.join(2 * SECONDS)
    finally:
        sys.setswitchinterval(interval)
    assert answers == [["id"] * len(futures)] * len(callers)


def wait_for(futures: list[TaskFuture]) -> list[str]:
    """Asks in both ways: the one that may find the outcome at hand, and the one of the base class."""
    return [
        future.result(SECONDS) if number % 2 else str(future.exception(SECONDS) or future.result())
        for number, future in enumerate(futures)
    ]


def test_what_a_future_has_not_is_missing_as_anywhere() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        task_future().nonsense  # noqa: B018
