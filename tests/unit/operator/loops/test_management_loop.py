"""What the loop that asks the management API leaves in a WorkQueue, by answers of an API in memory."""

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry
from workqueue_broker.address import BrokerAddress
from workqueue_operator.loops.heartbeat import Heartbeat
from workqueue_operator.loops.management_loop import ManagementLoop
from workqueue_operator.metrics import Metrics
from workqueue_operator.rabbitmq.management_api import ManagementApi, ManagementUnavailable, VirtualHostReport
from workqueue_operator.rabbitmq.queue_policy import QueueInForce, VirtualHost
from workqueue_operator.store import Store
from workqueue_operator.tracked import Tracked

from tests.support.fakes import FakeQueueReader, ManualClock
from tests.support.passes import body

ADDRESS = BrokerAddress(management_uri="http://rabbitmq:15672")
MINUTE = QueueInForce("quorum", "p", {"consumer-timeout": 60_000})

#: What the API answers about the queue; None: it does not know it.
Answer = QueueInForce | ManagementUnavailable | None


class PassingClock(ManualClock):
    """Who sleeps wakes at once, and the time has passed."""

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await super().sleep(seconds)


class AnsweringApi(ManagementApi):
    """Gives these answers about the queue `jobs`, one at each look, and then none."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        super().__init__(ADDRESS)
        self._left = list(answers)
        self.all_used = asyncio.Event()

    async def read(self, now: float) -> VirtualHostReport:
        if not self._left:
            self.all_used.set()
            await asyncio.Event().wait()
        answer = self._left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return VirtualHostReport({}, VirtualHost({"jobs": answer} if answer else {}))


async def after(*answers: Answer) -> list[Tracked]:
    """Two WorkQueues on one queue after these answers, while the next one is awaited."""
    store, clock, api = Store(), PassingClock(), AnsweringApi(answers)
    for name in ("one", "two"):
        store.see_workqueue(body(name, queue={"name": "jobs"}))
    for tracked in store:
        store.set_address(tracked, ADDRESS)
    loop = ManagementLoop(store, lambda *_: api, Metrics(CollectorRegistry()), clock)
    running = asyncio.create_task(loop.run(ADDRESS, FakeQueueReader(), Heartbeat(clock)))
    await asyncio.wait_for(api.all_used.wait(), 30)
    running.cancel()
    await asyncio.wait({running})
    return list(store)


async def test_who_shares_the_queue_is_known_only_after_the_first_answer() -> None:
    """Whether what was in dispute is over is judged from then on, with the consumer timeout of that answer."""
    assert [one.sharers for one in await after()] == [None, None]
    first, second = await after(MINUTE)
    assert (first.sharers, second.sharers) == ((second.key,), (first.key,))
    assert first.consumer_timeout == 60.0


async def test_who_shares_the_queue_is_known_though_the_management_api_does_not_answer() -> None:
    first, second = await after(ManagementUnavailable("no answer"))
    assert (first.sharers, second.sharers) == ((second.key,), (first.key,))


@pytest.mark.parametrize("late", [QueueInForce("quorum"), None, ManagementUnavailable("no answer")])
async def test_an_answer_without_the_policy_in_force_takes_no_consumer_timeout_away(late: Answer) -> None:
    """As of a broker that just started: its statistics come seconds later."""
    assert [one.consumer_timeout for one in await after(MINUTE, late)] == [60.0, 60.0]


async def test_a_policy_that_is_gone_takes_its_consumer_timeout_away() -> None:
    assert [one.consumer_timeout for one in await after(MINUTE, QueueInForce("quorum", "", {}))] == [None, None]
