"""Coroutines of a handler: one event loop for all of them, and a cancellation that each can see."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from workqueue_worker.event_loop import EventLoop
from workqueue_worker.handlers import PythonHandler
from workqueue_worker.outcomes import outcome_of
from workqueue_worker.settlement import Failed, Finished, Outcome, Rejected
from workqueue_worker.task import Reject, Retry, Task

from tests.support.waiting import wait_until


class AsyncHandler(PythonHandler):
    """Its loop ends with the test."""

    def close(self) -> None:
        if self._event_loop:
            self._event_loop.close()


def in_a_thread(handler: PythonHandler, task: Task) -> tuple[threading.Thread, list[Outcome]]:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(handler.run(b"", task)))
    thread.start()
    return thread, outcomes


@pytest.fixture
def handlers() -> Iterator[list[AsyncHandler]]:
    made: list[AsyncHandler] = []
    yield made
    for handler in made:
        handler.close()


def test_a_client_made_by_the_first_task_serves_the_next_ones_from_any_thread(handlers: list[AsyncHandler]) -> None:
    """A queue and its reader stand for a pool of connections: they belong to the loop that they were made in."""
    pool: dict[str, Any] = {}

    async def serve(queue: asyncio.Queue[asyncio.Future[bytes]]) -> None:
        while True:
            (await queue.get()).set_result(b"answer")

    async def handle(_body: bytes, _task: Task) -> None:
        if not pool:
            pool["requests"] = asyncio.Queue()
            pool["reader"] = asyncio.ensure_future(serve(pool["requests"]))
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        await pool["requests"].put(answer)
        if await answer != b"answer":
            raise Reject("no answer")

    handlers.append(handler := AsyncHandler(handle))
    assert [handler.run(b"", Task()) for _ in range(2)] == [Finished()] * 2
    thread, outcomes = in_a_thread(handler, Task())
    thread.join()
    assert outcomes == [Finished()]


def test_a_cancelled_coroutine_ends_with_its_finally_block_and_the_next_one_runs(handlers: list[AsyncHandler]) -> None:
    started, cleaned = threading.Event(), threading.Event()

    async def handle(_body: bytes, task: Task) -> None:
        if task.id == "next":
            return
        try:
            started.set()
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    handlers.append(handler := AsyncHandler(handle))
    task = Task()
    thread, outcomes = in_a_thread(handler, task)
    started.wait()
    task.cancelled.set()
    thread.join()
    assert cleaned.is_set()
    (outcome,) = outcomes
    assert isinstance(outcome, Failed)
    assert outcome.detail == "CancelledError"
    assert "await asyncio.sleep(3600)" in outcome.traceback
    assert handler.run(b"", Task(id="next")) == Finished()


def test_tasks_share_the_loop_and_one_that_is_cancelled_leaves_the_others_alone(handlers: list[AsyncHandler]) -> None:
    both = threading.Barrier(3)
    release: list[asyncio.Event] = []

    async def handle(_body: bytes, _task: Task) -> None:
        release.append(event := asyncio.Event())
        await asyncio.to_thread(both.wait)
        await event.wait()

    handlers.append(handler := AsyncHandler(handle))
    tasks = [Task(id="cancelled"), Task(id="goes on")]
    (first, first_outcomes), (second, second_outcomes) = [in_a_thread(handler, task) for task in tasks]
    both.wait()
    tasks[0].cancelled.set()
    first.join()
    assert isinstance(first_outcomes[0], Failed)
    assert second.is_alive()
    loop = handler._loop()._loop
    for event in release:
        loop.call_soon_threadsafe(event.set)
    second.join()
    assert second_outcomes == [Finished()]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()])
def test_whatever_a_coroutine_raises_is_a_failed_attempt_and_the_loop_goes_on(
    handlers: list[AsyncHandler], error: BaseException
) -> None:
    async def handle(_body: bytes, task: Task) -> None:
        if task.id != "next":
            raise error

    handlers.append(handler := AsyncHandler(handle))
    outcome = handler.run(b"", Task())
    assert isinstance(outcome, Failed)
    assert outcome.detail.startswith(type(error).__name__)
    assert handler.run(b"", Task(id="next")) == Finished()


def test_a_background_task_that_raises_system_exit_does_not_end_the_loop(handlers: list[AsyncHandler]) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def handle(_body: bytes, task: Task) -> None:
        if task.id == "next":
            return
        background = asyncio.ensure_future(leave())
        await asyncio.wait([background])
        assert isinstance(background.exception(), SystemExit)

    handlers.append(handler := AsyncHandler(handle))
    assert handler.run(b"", Task()) == Finished()
    assert handler.run(b"", Task(id="next")) == Finished()


def test_at_the_end_background_tasks_are_cancelled_and_their_finally_blocks_run() -> None:
    closed = threading.Event()
    kept: list[asyncio.Future[None]] = []

    async def keep_a_pool() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            closed.set()

    async def start() -> None:
        kept.append(asyncio.ensure_future(keep_a_pool()))
        await asyncio.sleep(0)

    loop = EventLoop()
    loop.run(start(), Task().cancelled)
    loop.close()
    assert closed.is_set()


def test_a_forked_child_of_a_coroutine_does_not_go_on_with_the_parents_loop(handlers: list[AsyncHandler]) -> None:
    """It would read what the parent's clients wait for."""
    children: list[int] = []

    async def handle(_body: bytes, _task: Task) -> None:
        child = os.fork()
        if child:
            children.append(child)

    handlers.append(handler := AsyncHandler(handle))
    assert handler.run(b"", Task()) == Finished()
    (child,) = children
    wait_until(lambda: os.waitpid(child, os.WNOHANG)[0] == child, 30, "the child has ended")


def test_a_group_means_what_the_strongest_exception_in_it_means() -> None:
    error = ValueError("a")
    rejected = outcome_of(ExceptionGroup("g", [error, ExceptionGroup("h", [Retry("later"), Reject("never")])]))
    assert rejected == Rejected("never; ValueError: a; later")
    retried = outcome_of(ExceptionGroup("g", [error, Retry(3), Retry("busy", delay=7), Retry("own backoff")]))
    assert isinstance(retried, Failed)
    assert (retried.detail, retried.delay) == ("busy; own backoff; ValueError: a", 7)
    failed = outcome_of(ExceptionGroup("g", [error, KeyError("b")]))
    assert isinstance(failed, Failed)
    assert (failed.detail, failed.delay) == ("ValueError: a; KeyError: 'b'", None)
    assert "ExceptionGroup: g (2 sub-exceptions)" in failed.traceback


def test_a_task_group_of_a_coroutine_is_rejected_by_one_of_its_tasks(handlers: list[AsyncHandler]) -> None:
    async def reject() -> None:
        raise Reject("bad input")

    async def handle(_body: bytes, _task: Task) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(reject())

    handlers.append(handler := AsyncHandler(handle))
    assert handler.run(b"", Task()) == Rejected("bad input")


SLEEPS = """
import asyncio
from pathlib import Path

async def handle(body, task):
    try:
        await asyncio.sleep(3600)
    finally:
        Path("cleaned").touch()
"""


def test_a_coroutine_past_its_time_limit_is_cancelled(tmp_path: Path) -> None:
    (tmp_path / "sleeps.py").write_text(SLEEPS)
    command = [sys.executable, "-m", "workqueue_worker", "run-one", "--handler", "sleeps:handle"]
    done = subprocess.run(
        [*command, "--task-timeout", "0.2"], input="", cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr == "retry: took longer than 0.2 s\n"
    assert (done.returncode, (tmp_path / "cleaned").exists()) == (75, True)
