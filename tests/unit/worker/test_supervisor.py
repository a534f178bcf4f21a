"""The supervisor: when it leaves, with which exit code, and that nothing can keep it from leaving."""

import logging
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest
from workqueue_worker import logs, supervisor
from workqueue_worker.consumer import Consumer
from workqueue_worker.copy_publisher import CopyPublisher
from workqueue_worker.delivery import Delivery
from workqueue_worker.health import HELD_SECONDS, Health, Readiness
from workqueue_worker.in_hand import InHand
from workqueue_worker.keeper import Keeper
from workqueue_worker.metrics import WorkerMetrics
from workqueue_worker.runner import Runner
from workqueue_worker.settings import read_settings
from workqueue_worker.shutdown import Step
from workqueue_worker.supervisor import Supervisor

from tests.support.fakes import ManualClock


class FakeConsumer:
    """Receives until it was asked so often whether it does."""

    def __init__(self, receives: int = 0, comes_late: InHand | None = None, gives: int = 0) -> None:
        self._gives = [delivered() for _ in range(gives)]
        self._receives = receives
        self._comes_late = comes_late
        self._tasks: list[InHand] = []
        self._stopping = threading.Event()
        self.connected = False

    @property
    def receiving(self) -> bool:
        """A task may come in the moment before the answer is no."""
        self._receives -= 1
        if self._receives < 0 and self._comes_late:
            self._tasks.append(self._comes_late)
        return self._receives >= 0

    def in_progress(self) -> list[InHand]:
        return list(self._tasks)

    def next_task(self) -> InHand | None:
        if self._gives:
            return self._gives.pop()
        self._stopping.wait()
        return None

    def stop_receiving(self) -> None:
        self._stopping.set()


class FakeKeeper:
    def __init__(self) -> None:
        self._left = threading.Event()

    def leave(self) -> None:
        self._left.set()

    def run(self) -> None:
        self._left.wait()


def delivered(name: str = "task") -> InHand:
    return InHand(Delivery(1, 1, False, b"", {}, name, None, None, None))


class FakeRunner:
    def run(self, in_hand: InHand) -> None:
        """Does nothing, as the task was answered for elsewhere."""


class FakeCopies:
    def __init__(self, hangs: threading.Event | None = None) -> None:
        self._hangs = hangs

    def close(self) -> None:
        if self._hangs:
            self._hangs.wait()


class Noting(logging.Handler):
    """Notes the text of each record."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def worker(
    consumer: FakeConsumer, copies: FakeCopies, max_tasks: int | None = None, health: Health | None = None
) -> Supervisor:
    health = health or Health()
    settings = replace(read_settings({}, (), {}), max_tasks=max_tasks)
    return Supervisor(
        settings,
        cast(Consumer, consumer),
        cast(Keeper, FakeKeeper()),
        cast(Runner, FakeRunner()),
        cast(CopyPublisher, copies),
        WorkerMetrics("q"),
        health,
    )


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


def test_two_signals_to_an_idle_worker_stop_nothing_and_are_an_orderly_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is still receiving when the second one comes, as the broker has not answered yet."""
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 0.01)
    leaving = worker(FakeConsumer(receives=5), FakeCopies())
    leaving._on_signal(signal.SIGTERM, None)
    leaving._on_signal(signal.SIGTERM, None)
    assert leaving.run() == 0


def test_a_broker_that_says_no_goodbye_to_the_copies_connection_delays_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Behind a partition its close would wait for the heartbeats."""
    monkeypatch.setattr(supervisor, "CLOSE_SECONDS", 0.05)
    never = threading.Event()
    leaving = worker(FakeConsumer(), FakeCopies(hangs=never))
    leaving._on_signal(signal.SIGTERM, None)
    assert leaving.run() == 0
    never.set()


def test_a_task_that_comes_while_it_looks_is_not_left_alone() -> None:
    late = delivered("late")
    leaving = worker(FakeConsumer(comes_late=late), FakeCopies())
    leaving._on_signal(signal.SIGTERM, None)
    leaving._wait()
    assert leaving._next_step() is Step.FINISH_TASKS


def test_after_its_last_task_it_leaves_in_order() -> None:
    assert worker(FakeConsumer(gives=2), FakeCopies(), max_tasks=2).run() == 0


def test_it_logs_once_when_every_slot_holds_a_failed_task_and_once_when_one_is_free_again() -> None:
    clock = ManualClock()
    health = Health(2, clock.monotonic)
    health.readiness = Readiness(ready=True, text="consuming")
    watched = worker(FakeConsumer(), FakeCopies(), health=health)
    logger = logs.logger("workqueue_worker.supervisor")  # caplog cannot reach it, nor print its records
    noted = Noting()
    logger.addHandler(noted)
    for holder in (1, 2):
        health.hold(holder, f"task {holder}: a full queue")
    for seconds in (0, HELD_SECONDS, 1):
        clock.advance(seconds)
        watched._watch_slots()
    health.release(1)
    for _ in range(2):
        watched._watch_slots()
    logger.removeHandler(noted)
    assert noted.texts == [
        "not ready: every slot holds a failed task; holding 2 failed tasks: task 2: a full queue",
        "a slot is free again",
    ]
