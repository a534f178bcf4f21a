"""Callbacks of callers run in threads of their own: none stops another, the publisher or the program's end."""

import sys
import threading
from concurrent.futures import Future
from functools import partial

import pytest
from workqueue_producer import callbacks as module
from workqueue_producer.callbacks import Callbacks
from workqueue_producer.errors import NotConfirmed
from workqueue_producer.receipts import TaskFuture
from workqueue_producer.task import Message, Task


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, BaseException])
def test_a_callback_that_raises_stops_no_other(error: type[BaseException]) -> None:
    calls = Callbacks()
    came = threading.Event()

    def fail() -> None:
        raise error

    calls.run(fail)
    calls.run(came.set)
    assert came.wait(10)
    calls.close(10)


def test_callbacks_that_never_return_stop_no_other_and_no_end() -> None:
    calls = Callbacks()
    hang, came = threading.Event(), threading.Event()
    for _ in range(module.THREADS - 1):
        calls.run(hang.wait)
    calls.run(came.set)
    assert came.wait(10)
    calls.close(0)
    hang.set()
    calls.close(10)


def test_a_thousand_callbacks_need_few_threads() -> None:
    calls = Callbacks()
    done: list[int] = []
    for number in range(1000):
        calls.run(partial(done.append, number))
    assert len(calls._threads) <= module.THREADS
    calls.close(10)
    assert sorted(done) == list(range(1000))


def test_a_callback_may_wait_for_the_end_of_all_others() -> None:
    calls = Callbacks()
    ended = threading.Event()

    def close() -> None:
        calls.close(60)
        ended.set()

    calls.run(close)
    assert ended.wait(10)


def settled(receipt: TaskFuture, error: Exception | None = None) -> None:
    """As the I/O thread does it."""
    receipt.settle(Message(Task(b""), "id", None, receipt, 0.0), error)


def test_the_thread_that_settles_a_future_runs_none_of_its_callbacks() -> None:
    calls = Callbacks()
    receipt = TaskFuture(calls, waited_for=False)
    ran_in: list[threading.Thread] = []
    receipt.add_done_callback(lambda _: ran_in.append(threading.current_thread()))
    receipt.add_done_callback(lambda _: sys.exit("a callback of a caller"))
    settled(receipt)
    receipt.add_done_callback(lambda _: ran_in.append(threading.current_thread()))
    calls.close(10)
    assert len(ran_in) == 2
    assert threading.current_thread() not in ran_in


def test_a_future_that_its_caller_has_set_is_left_alone() -> None:
    receipt = TaskFuture(Callbacks(), waited_for=False)
    receipt.set_result("mine")
    settled(receipt)
    settled(receipt, ValueError())
    assert receipt.result(0) == "mine"


def test_the_error_of_a_future_names_the_task_and_its_cause() -> None:
    receipt = TaskFuture(Callbacks(), waited_for=False)
    settled(receipt, ValueError("why"))
    future: Future[str] = receipt
    with pytest.raises(NotConfirmed, match="why; ids: id") as raised:
        future.result(0)
    assert isinstance(raised.value.__cause__, ValueError)
