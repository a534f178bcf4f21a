"""The worker's loop for pika: who waits only looks, work does what can be done, nothing that is due is forgotten."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from workqueue_worker.amqp.loop import Loop

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop(alive=lambda: None)
    yield loop
    loop.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


def test_who_waits_returns_when_something_comes_and_leaves_it_for_the_work(loop: Loop, ends: Ends) -> None:
    ours, theirs = ends
    read: list[bytes] = []
    loop.add_handler(ours.fileno(), lambda _fd, _events: read.append(ours.recv(10)), loop.READ)
    theirs.send(b"something")
    loop.wait(3600)
    assert read == []
    loop.work()
    assert read == [b"something"]


def test_a_wake_ends_the_wait_that_goes_on_and_one_that_came_too_early_the_next(loop: Loop) -> None:
    loop.wake()
    loop.wait(3600)
    waiting = threading.Thread(target=loop.wait, args=(3600,))
    waiting.start()
    loop.wake()
    waiting.join()


def test_a_callback_from_another_thread_ends_the_wait_and_is_called_by_the_work(loop: Loop) -> None:
    called: list[str] = []
    loop.add_callback(lambda: called.append("first"))
    loop.add_callback(lambda: loop.add_callback(lambda: called.append("second")))
    loop.wait(3600)
    loop.work()
    assert called == ["first"]
    loop.wait(3600)
    loop.work()
    assert called == ["first", "second"]


def test_timers_are_called_in_their_order_and_not_when_they_were_taken_back(loop: Loop) -> None:
    called: list[int] = []
    loop.call_later(0.002, lambda: called.append(2))
    loop.call_later(0.001, lambda: called.append(1))
    loop.call_later(3600.0, lambda: called.append(3600))
    loop.remove_timeout(loop.call_later(0.0, lambda: called.append(0)))
    assert loop.run_until(lambda: len(called) == 2, 10)
    assert called == [1, 2]


def test_a_timer_ends_the_wait(loop: Loop) -> None:
    called: list[int] = []
    loop.call_later(0.001, lambda: called.append(1))
    loop.wait(3600)
    loop.work()
    assert called == [1]


def test_what_the_system_does_not_take_at_once_goes_when_there_is_room_and_who_waits_waits_for_that(
    loop: Loop, ends: Ends
) -> None:
    ours, theirs = ends
    left = bytearray(10_000_000)

    def on_writable(fd: int, _events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            del left[: ours.send(left)]
        loop.update_handler(fd, loop.READ | (loop.WRITE if left else 0))

    loop.add_handler(ours.fileno(), on_writable, loop.READ | loop.WRITE)
    loop.write()
    assert 0 < len(left) < 10_000_000
    received = len(theirs.recv(10_000_000))
    while left:
        loop.wait(3600)
        loop.write()
        received += len(theirs.recv(10_000_000))
    while received < 10_000_000:
        received += len(theirs.recv(10_000_000))
    assert received == 10_000_000


def test_what_a_write_finds_out_is_reported_before_it_returns(loop: Loop, ends: Ends) -> None:
    ours, _ = ends
    seen: list[str] = []
    loop.add_handler(ours.fileno(), lambda _fd, _events: loop.add_callback(lambda: seen.append("broken")), loop.WRITE)
    loop.write()
    assert seen == ["broken"]


def test_a_handler_that_another_took_away_is_not_called(loop: Loop, ends: Ends) -> None:
    ours, theirs = ends
    called: list[str] = []

    def first(_fd: int, _events: int) -> None:
        called.append("first")
        loop.remove_handler(theirs.fileno())

    loop.add_handler(ours.fileno(), first, loop.READ)
    loop.add_handler(theirs.fileno(), lambda _fd, _events: called.append("second"), loop.READ)
    loop.work()
    assert called == ["first"]


def test_a_broken_connection_is_reported_by_a_read(loop: Loop, ends: Ends) -> None:
    ours, theirs = ends
    events_seen: list[int] = []
    loop.add_handler(ours.fileno(), lambda _fd, events: events_seen.append(events), loop.READ)
    theirs.close()
    assert loop.run_until(lambda: events_seen, 10)
    assert events_seen == [loop.READ]


def test_a_wait_on_a_loop_that_was_closed_during_that_time_ends(loop: Loop) -> None:
    waiting = threading.Thread(target=loop.wait, args=(3600,))
    waiting.start()
    loop.wake()
    loop.close()
    waiting.join()
    loop.wait(3600)


def test_who_runs_until_something_is_so_hears_when_it_is_not_and_says_that_it_lives_until_then() -> None:
    alive: list[bool] = []
    loop = Loop(alive=lambda: alive.append(True))
    assert not loop.run_until(lambda: False, 0.01)
    assert len(alive) > 1
    loop.close()
