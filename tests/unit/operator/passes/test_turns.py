"""Work that comes at once is spread over turns of the event loop."""

import asyncio
from dataclasses import dataclass, field

from workqueue_operator.cluster.port import Target
from workqueue_operator.passes.reconcile import PASSES_AT_ONCE
from workqueue_operator.passes.turns import Turns
from workqueue_operator.resource import Key
from workqueue_operator.scaling.demand import Counts

from tests.support.fakes import FakeCluster
from tests.support.passes import DEPLOYMENT, Operator, body


class Watcher:
    """Notes in each turn of the loop how much was done in it."""

    def __init__(self) -> None:
        self.done = 0
        self.most = 0

    async def run(self) -> None:
        while True:
            before = self.done
            await asyncio.sleep(0)
            self.most = max(self.most, self.done - before)


@dataclass
class Counting(FakeCluster):
    """Notes each look at a Deployment."""

    watcher: Watcher = field(default_factory=Watcher)

    async def read_target(self, key: Key) -> Target:
        self.watcher.done += 1
        return await super().read_target(key)


async def test_so_many_have_their_turn_at_once_in_their_order() -> None:
    turns, watcher, order = Turns(7), Watcher(), []

    async def work(number: int) -> None:
        await turns.take()
        watcher.done += 1
        order.append(number)

    watching = asyncio.create_task(watcher.run())
    await asyncio.gather(*(work(number) for number in range(1000)))
    watching.cancel()
    assert order == list(range(1000))
    assert watcher.most <= 7


async def test_a_caller_that_was_cancelled_takes_no_turn_of_others() -> None:
    turns = Turns(1)
    tasks = [asyncio.create_task(turns.take()) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[2].cancel()
    async with asyncio.timeout(10):
        await tasks[3]


async def test_a_rounds_passes_come_in_no_burst() -> None:
    """A thousand queues of one broker answer in one round."""
    watcher = Watcher()
    operator = Operator(cluster=Counting(watcher=watcher))
    tracked = [operator.add(body(f"q{number}", scaleTargetRef={"name": f"w{number}"})) for number in range(300)]
    operator.cluster.add_deployment(DEPLOYMENT, 0)

    async def one(number: int) -> None:
        await operator.reconciler.reconcile(tracked[number], Counts(0, 0))

    watching = asyncio.create_task(watcher.run())
    await asyncio.gather(*map(one, range(300)))
    watching.cancel()
    assert watcher.done == 300
    assert watcher.most <= PASSES_AT_ONCE
