"""The keeper with a real consumer, on a fake broker: when it connects, and what comes between."""

import threading

from tests.support.consuming import Bench
from tests.support.fake_link import FakeBroker
from tests.support.waiting import wait_until


def test_it_connects_nothing_while_every_thread_works_on_a_task_of_a_lost_connection() -> None:
    broker = FakeBroker(tasks=2, prefetch=1)
    bench = Bench(broker, threads=1)
    stale = bench.task()
    bench.consumer._lose_link(RuntimeError("the network"))
    wait_until(lambda: "every slot" in bench.health.readiness.text, 10, "it waits for its thread")
    assert len(broker.links) == 1
    bench.consumer.settle(bench.done(stale))
    assert bench.task().delivery.epoch == 2
    bench.leave()


def test_it_leaves_while_every_thread_works_on_a_task_of_a_lost_connection() -> None:
    bench = Bench(FakeBroker(tasks=1, prefetch=1), threads=1)
    bench.task()
    bench.consumer._lose_link(RuntimeError("the network"))
    wait_until(lambda: "every slot" in bench.health.readiness.text, 10, "it waits for its thread")
    bench.consumer.stop_receiving()
    bench.leave()
    assert len(bench.broker.links) == 1
    assert bench.consumer.in_progress() == []


def test_a_library_that_fails_to_connect_in_a_way_of_its_own_is_tried_again() -> None:
    failures = [RuntimeError("a timeout that is no error of the library's tree")]

    def fail_once(_bench: Bench) -> None:
        if failures:
            raise failures.pop()

    bench = Bench(FakeBroker(tasks=1, prefetch=1), threads=1, when_opened=fail_once)
    assert bench.task().delivery.epoch == 1  # what failed was no connection
    assert bench.health.readiness.ready
    bench.leave()


def test_a_connection_that_opens_after_the_worker_began_to_stop_is_closed_and_takes_nothing() -> None:
    """The threads may have ended by then: none would work on what comes."""
    bench = Bench(FakeBroker(tasks=1, prefetch=1), when_opened=lambda bench: bench.consumer.stop_receiving())
    assert bench.consumer.next_task() is None
    wait_until(lambda: bool(bench.broker.links) and bench.broker.links[0].lost, 10, "it is closed")
    assert not bench.consumer.connected
    assert "leaving" in bench.health.readiness.text
    bench.leave()
    assert len(bench.broker.links) == 1
    assert bench.broker.given.total() == 0


def test_a_worker_that_leaves_while_it_connects_closes_the_connection() -> None:
    bench = Bench(FakeBroker(tasks=1, prefetch=1), when_opened=lambda bench: bench.keeper.leave())
    bench.leave()
    assert [link.lost for link in bench.broker.links] == [True]
    bench.assert_that_all_is_accounted_for()


def test_a_connection_that_is_lost_before_any_thread_waits_for_it_is_opened_again_at_once() -> None:
    bench = Bench(FakeBroker(tasks=1, prefetch=1))
    for epoch in (1, 2, 3):
        wait_until(lambda: bench.consumer.connected, 10, "it is connected")
        assert [link.epoch for link in bench.broker.links] == list(range(1, epoch + 1))
        bench.consumer._lose_link(RuntimeError("the network"))
    assert bench.task().delivery.epoch == 4
    bench.leave()
    assert bench.broker.breaches == []


def test_the_connection_is_turned_while_all_threads_work() -> None:
    """Else its heartbeats would end: here a second task comes while no thread waits for one."""
    bench = Bench(FakeBroker(tasks=1, prefetch=2), threads=2)
    bench.task()
    bench.broker.ready.append(1)
    wait_until(lambda: len(bench.consumer.in_progress()) == 2, 10, "the keeper has read it")
    bench.leave()


def test_it_leaves_the_connection_to_a_thread_that_waits_for_it() -> None:
    bench = Bench(FakeBroker(tasks=0, prefetch=1))
    waiting = threading.Thread(target=bench.consumer.next_task, daemon=True)
    wait_until(lambda: bench.consumer.connected, 10, "it is connected")
    waiting.start()
    wait_until(bench.consumer._lead.locked, 10, "a thread waits")
    bench.consumer.turn_unless_led()  # returns
    bench.consumer.stop_receiving()
    waiting.join()
    bench.leave()
    assert bench.broker.breaches == []
