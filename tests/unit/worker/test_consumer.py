"""The consumer under many threads, on a fake broker that notes every breach of a link's rules."""

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest
from workqueue_worker.connection_report import ConnectionReport
from workqueue_worker.consumer import Consumer
from workqueue_worker.finished_tasks import FinishedTasks
from workqueue_worker.health import Health, Readiness
from workqueue_worker.in_hand import InHand
from workqueue_worker.metrics import WorkerMetrics
from workqueue_worker.reconnecting import Reconnecting
from workqueue_worker.settlement import RequeueCause

from tests.support.consuming import Bench
from tests.support.fake_link import FakeBroker
from tests.support.waiting import wait_until


@pytest.fixture
def often_switched() -> Iterator[None]:
    """Threads take turns as often as the interpreter can, so that more of their orders are seen."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@contextmanager
def working(bench: Bench, threads: int, work: Callable[[InHand], None]) -> Iterator[list[threading.Thread]]:
    """Task threads, which end when the consumer says that there is no more."""

    def run() -> None:
        while in_hand := bench.consumer.next_task():
            work(in_hand)
            bench.consumer.settle(bench.done(in_hand))

    started = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
    for thread in started:
        thread.start()
    yield started
    bench.consumer.stop_receiving()
    for thread in started:
        thread.join()
    bench.leave()


@pytest.mark.usefixtures("often_switched")
@pytest.mark.parametrize(("threads", "failures"), [(1, 0.02), (2, 0.02), (8, 0.0), (8, 0.01), (16, 0.05)])
def test_from_many_threads_over_links_that_fail_every_delivery_is_settled_once(threads: int, failures: float) -> None:
    broker = FakeBroker(tasks=1000, prefetch=threads, failures=failures, seed=threads)
    bench = Bench(broker)
    chance = Random(1)

    def work(_running: InHand) -> None:
        for _ in range(chance.randrange(100)):  # some are longer, and others overtake them
            pass

    with working(bench, threads, work):
        wait_until(lambda: len(broker.acked) == 1000, 50, f"all are acked; breaches: {broker.breaches}")
    bench.assert_that_all_is_accounted_for()
    if not failures:
        assert set(broker.given.values()) == set(broker.acked.values()) == {1}


def test_a_result_is_settled_at_once_while_all_others_work() -> None:
    broker = FakeBroker(tasks=3, prefetch=3)
    bench = Bench(broker)
    first, second, third = bench.task(), bench.task(), bench.task()
    bench.consumer.settle(bench.done(second))
    assert sum(broker.acked.values()) == 1
    assert set(bench.consumer.in_progress()) == {first, third}
    bench.leave()


def test_a_result_is_settled_at_once_while_another_thread_waits_for_a_task() -> None:
    broker = FakeBroker(tasks=1, prefetch=2)
    bench = Bench(broker)
    in_hand = bench.task()
    with working(bench, 1, lambda _: None):
        bench.consumer.settle(bench.done(in_hand))
        assert sum(broker.acked.values()) == 1


class HookedLock:
    """A lock that lets something happen just before it is let go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.before_release: Callable[[], None] | None = None

    def acquire(self, blocking: bool = True) -> bool:
        return self._lock.acquire(blocking)

    def release(self) -> None:
        hook, self.before_release = self.before_release, None
        if hook:
            hook()
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


@pytest.mark.parametrize("at_the_wheel", ["settles", "turns"])
def test_a_result_that_comes_at_the_last_moment_of_another_thread_at_the_wheel_is_settled_by_that_one(
    at_the_wheel: str,
) -> None:
    broker = FakeBroker(tasks=2, prefetch=3)
    bench = Bench(broker)
    first, second = bench.task(), bench.task()
    wheel = HookedLock()
    bench.consumer._wheel._lock = wheel  # type: ignore[assignment] # a lock with a hook

    def second_comes() -> None:
        before = sum(broker.acked.values())
        other = threading.Thread(target=bench.consumer.settle, args=(bench.done(second),))
        other.start()
        other.join()
        assert sum(broker.acked.values()) == before

    wheel.before_release = second_comes
    if at_the_wheel == "settles":
        bench.consumer.settle(bench.done(first))
    else:
        broker.ready.append(2)
        bench.task()
    assert broker.acked[1] == 1
    bench.leave()


def test_what_is_held_is_given_back_only_once_the_broker_sends_no_more() -> None:
    """Before that the broker would send it to this worker again: one more return towards RabbitMQ's delivery limit."""
    broker = FakeBroker(tasks=1, prefetch=1)
    bench = Bench(broker)
    in_hand = bench.task()
    with bench.consumer._lead:  # so that nothing cancels the consumer yet
        bench.consumer.stop_receiving()
        bench.consumer.hold(in_hand.delivery, 0.01)
        assert not bench.consumer.stopping
    bench.consumer.hold(in_hand.delivery, 3600)
    assert bench.consumer.stopping
    assert not broker.links[-1].consuming
    bench.leave()


def test_what_waits_when_the_connection_is_lost_is_counted_as_requeued_and_not_run() -> None:
    broker = FakeBroker(tasks=3, prefetch=3)
    bench = Bench(broker)
    in_hand = bench.task()
    broker.failures = 1.0
    bench.consumer.settle(bench.done(in_hand))
    assert bench.count("acks_lost_total") == 1
    assert bench.count("requeued_total", cause="connection") == 2
    assert bench.consumer.in_progress() == []
    bench.leave()
    bench.assert_that_all_is_accounted_for()


def test_what_was_taken_before_the_connection_was_lost_is_not_acked_over_the_next() -> None:
    broker = FakeBroker(tasks=2, prefetch=1)
    bench = Bench(broker)
    stale = bench.task()
    bench.consumer._lose_link(RuntimeError("the network"))
    again = bench.task()
    assert (stale.delivery.delivery_tag, again.delivery.delivery_tag) == (1, 1)
    bench.consumer.settle(bench.done(stale))
    assert not broker.acked
    bench.consumer.settle(bench.done(again))
    assert sum(broker.acked.values()) == 1
    bench.leave()
    bench.assert_that_all_is_accounted_for()


class HookedDeque(deque[InHand]):
    """Lets something happen just after the next one was taken."""

    after_popleft: Callable[[], None] | None = None

    def popleft(self) -> InHand:
        taken = super().popleft()
        hook, self.after_popleft = self.after_popleft, None
        if hook:
            hook()
        return taken


def test_what_was_taken_in_the_moment_of_the_loss_is_counted_as_requeued_and_not_run() -> None:
    broker = FakeBroker(tasks=1, prefetch=1)
    bench = Bench(broker)
    waiting = HookedDeque()
    waiting.after_popleft = lambda: bench.consumer._lose_link(RuntimeError("the network"))
    bench.consumer._deliveries.waiting = waiting
    assert bench.task().delivery.epoch == 2
    assert bench.count("requeued_total", cause="connection") == 1
    bench.leave()
    bench.assert_that_all_is_accounted_for()


def test_when_it_stops_it_hands_back_what_runs_and_what_waits_and_settles_nothing_twice() -> None:
    broker = FakeBroker(tasks=3, prefetch=3)
    bench = Bench(broker)
    in_hand = bench.task()
    bench.consumer.stop_receiving()
    wait_until(lambda: not bench.consumer.receiving, 30, "the keeper has cancelled")
    nothing = object()
    taken: list[object] = []
    broker.links[0].on_flush = lambda: taken.append(bench.consumer._take() or nothing)
    bench.leave()
    bench.consumer.settle(bench.done(in_hand))
    assert taken == [nothing]
    assert bench.consumer.next_task() is None
    assert sorted(broker.ready) == [0, 1, 2]
    assert bench.count("requeued_total", cause="shutdown") == 3
    bench.assert_that_all_is_accounted_for()


def test_when_it_stops_it_hands_back_what_no_thread_is_free_for_and_keeps_what_runs() -> None:
    """Prefetch is more than threads when those still work on tasks of a lost connection."""
    broker = FakeBroker(tasks=3, prefetch=2)
    bench = Bench(broker, threads=1)
    in_hand = bench.task()
    wait_until(lambda: len(bench.consumer.in_progress()) == 2, 10, "another one waits")
    bench.consumer.stop_receiving()
    wait_until(lambda: bench.consumer.in_progress() == [in_hand], 10, "it was handed back")
    assert bench.count("requeued_total", cause="shutdown") == 1
    bench.consumer.settle(bench.done(in_hand))
    assert bench.consumer.next_task() is None
    bench.leave()
    bench.assert_that_all_is_accounted_for()


def test_ready_is_reported_at_the_wheel_where_a_loss_is_too_so_that_the_last_report_is_what_is_true() -> None:
    reported: list[tuple[bool, bool]] = []

    class Listening(Health):
        def __setattr__(self, name: str, value: object) -> None:
            if name == "_readiness" and isinstance(value, Readiness):
                reported.append((value.ready, wheel.locked()))
            super().__setattr__(name, value)

    wheel = threading.Lock()
    metrics, health = WorkerMetrics("q"), Listening()
    consumer = Consumer(metrics, health, FinishedTasks(), ConnectionReport(metrics, health, Reconnecting()), 1)
    consumer._wheel._lock = wheel
    assert consumer.attach(FakeBroker(tasks=0, prefetch=1).open(1, consumer.received))
    assert reported == [(False, False), (True, True)]


def test_a_run_whose_ack_the_broker_may_not_have_read_is_remembered() -> None:
    """Not sent, or sent so late that the broker need not have read it before the connection was lost."""
    broker = FakeBroker(tasks=3, prefetch=2)
    bench = Bench(broker, threads=1)
    first, second = bench.task(), bench.task()
    bench.consumer.settle(bench.done(first))
    third = bench.task()
    bench.consumer.settle(bench.done(second))
    bench.consumer._lose_link(RuntimeError("the network"))
    bench.consumer.settle(bench.done(third))
    taken = [bench.finished.take(in_hand.delivery) for in_hand in (first, second, third)]
    assert taken == [False, True, True]  # one thread: the broker gave out the third as it had read the first
    bench.leave()


def test_a_run_that_did_not_end_as_done_is_not_remembered_when_its_ack_is_lost() -> None:
    broker = FakeBroker(tasks=1, prefetch=1)
    bench = Bench(broker, threads=1)
    in_hand = bench.task()
    bench.consumer._lose_link(RuntimeError("the network"))
    bench.consumer.settle(bench.done(in_hand)._replace(ending=RequeueCause.RETRY))
    assert not bench.finished.take(in_hand.delivery)
    bench.leave()
