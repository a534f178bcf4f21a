"""A loop waits by the operator's clock, and beats while it waits."""

import asyncio

from workqueue_operator.loops.heartbeat import Heartbeat

from tests.support.fakes import ManualClock


async def some_turns() -> None:
    """Let whatever is due run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_wait_ends_when_the_clock_says_so_and_not_before() -> None:
    clock = ManualClock()
    waiting = asyncio.create_task(Heartbeat(clock).sleep(3600.0))
    await some_turns()
    clock.advance(3599.0)
    await some_turns()
    assert not waiting.done()
    clock.advance(1.0)
    await waiting


async def test_a_loop_that_waits_beats() -> None:
    clock = ManualClock()
    heart = Heartbeat(clock)
    clock.advance(50.0)
    assert heart.age == 50.0
    waiting = asyncio.create_task(heart.sleep(3600.0))
    await some_turns()
    assert heart.age == 0.0
    waiting.cancel()


async def test_a_loop_that_waits_for_an_answer_beats() -> None:
    clock, answer = ManualClock(), asyncio.get_running_loop().create_future()
    heart = Heartbeat(clock)
    clock.advance(50.0)
    waiting = asyncio.create_task(heart.during(asyncio.wait_for(answer, None)))
    await some_turns()
    assert heart.age == 0.0
    answer.set_result("listed")
    assert await waiting == "listed"


async def test_an_event_ends_a_wait_early_and_the_clock_ends_it_without_one() -> None:
    clock, event = ManualClock(), asyncio.Event()
    heart = Heartbeat(clock)
    event.set()
    await heart.sleep_until(event, 3600.0)
    event.clear()
    waiting = asyncio.create_task(heart.sleep_until(event, 2.0))
    await some_turns()
    assert not waiting.done()
    clock.advance(2.0)
    await waiting
