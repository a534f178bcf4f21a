"""The reader is told to end in the very moment in which the broker answers."""

import asyncio
import threading

import pytest
from workqueue_broker.address import BrokerAddress
from workqueue_operator.queue_reader import AmqpQueueReader


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancel_that_comes_with_the_answer_is_obeyed(turns: int) -> None:
    """`turns`: of the event loop, between the end of the reader's thread and the cancel."""
    reader = AmqpQueueReader(BrokerAddress(), "test")
    answered = threading.Event()
    reader._rounds.read = lambda _queues: answered.wait(30) and []  # type: ignore[method-assign]
    reading = asyncio.create_task(reader.read([]))
    await asyncio.sleep(0)
    answered.set()
    reader._thread.submit(lambda: None).result(30)
    for _ in range(turns):
        await asyncio.sleep(0)
    if reading.cancel():  # else it has ended by then
        with pytest.raises(asyncio.CancelledError):
            await reading
    await reader.close()
