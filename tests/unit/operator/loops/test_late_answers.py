"""An answer about a queue that comes when its WorkQueue names another one, or went, is not taken for the new one."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from workqueue_broker.declaration import QueueCounts
from workqueue_operator.rabbitmq.queue_reader import ReadResult
from workqueue_operator.resource import QueueSpec, WorkQueue

from tests.support.fakes import FakeQueueReader
from tests.support.operating import NAME, Operating, operating

SECRET = {"host": "broker"}


@dataclass
class HeldReader(FakeQueueReader):
    """Gives its first reading, or its first count, once it is let go."""

    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    holds_counts: bool = False
    asked: list[str] = field(default_factory=list)

    async def read(self, queues: Sequence[QueueSpec]) -> Sequence[ReadResult]:
        answers = await super().read(queues)
        if not self.holds_counts:
            self.asked += [queue.declaration.name for queue in queues]
            await self.let_go.wait()
        return answers

    async def count(self, name: str) -> QueueCounts:
        counts = await super().count(name)
        if self.holds_counts:
            self.asked.append(name)
            await self.let_go.wait()
        return counts


def dead_letter_queue(operator: Operating) -> str:
    (tracked,) = operator.store
    assert isinstance(tracked.spec, WorkQueue)
    return tracked.spec.queue.dead_letter_queue


async def test_the_count_of_a_queue_that_is_no_longer_named_scales_nothing() -> None:
    reader = HeldReader({"old": QueueCounts(500, 0), "new": QueueCounts(0, 0)})
    async with operating(lambda _: reader) as operator:
        operator.add(SECRET, queue={"name": "old"})
        await operator.until(lambda: reader.asked == ["old"], "the old queue is read")
        operator.change(queue={"name": "new"})
        reader.let_go.set()
        await operator.until(lambda: reader.asked.count("new") > 1, "the new queue was read")
        assert [write for write in operator.cluster.writes if write[0] == "scale"] == []


async def test_the_count_of_a_broker_that_is_no_longer_named_scales_nothing() -> None:
    old, new = HeldReader({"jobs": QueueCounts(500, 0)}), HeldReader({"jobs": QueueCounts(0, 0)})
    new.let_go.set()
    async with operating(lambda address: new if address.hosts[0][0] == "new" else old) as operator:
        operator.add(SECRET, queue={"name": "jobs"})
        await operator.until(lambda: old.asked == ["jobs"], "the queue of the old broker is read")
        operator.cluster.secrets = {key: {"host": "new"} for key in operator.cluster.secrets}
        operator.clock.ahead += 60.0
        await operator.until(lambda: "jobs" in new.asked, "the queue of the new broker is read")
        old.let_go.set()
        await operator.until(lambda: old.closed, "the old broker is left")
        assert [write for write in operator.cluster.writes if write[0] == "scale"] == []


async def test_the_count_for_a_workqueue_that_was_deleted_scales_nothing() -> None:
    reader = HeldReader({"old": QueueCounts(500, 0)})
    async with operating(lambda _: reader) as operator:
        operator.add(SECRET, queue={"name": "old"})
        await operator.until(lambda: reader.asked == ["old"], "the queue is read")
        del operator.cluster.workqueues[NAME]
        operator.store.forget_workqueue(NAME)
        reader.let_go.set()
        await operator.until(lambda: reader.closed, "nothing is left to read")
        assert operator.cluster.writes == []


async def test_dead_letters_of_a_queue_that_is_no_longer_named_are_not_those_of_the_new_one() -> None:
    reader = HeldReader({"old": QueueCounts(1, 1), "new": QueueCounts(1, 1)}, holds_counts=True)
    async with operating(lambda _: reader) as operator:
        operator.add(SECRET, queue={"name": "old"}, mode="Paused")
        old = dead_letter_queue(operator)
        reader.queues[old] = QueueCounts(7, 0)
        await operator.until(lambda: reader.asked == [old], "the old dead-letter queue is counted")
        operator.change(queue={"name": "new"}, mode="Paused")
        new = dead_letter_queue(operator)
        reader.queues[new] = QueueCounts(2, 0)
        reader.let_go.set()
        await operator.until(lambda: new in reader.asked, "the new one is counted at once", seconds=10)
        await operator.until(lambda: operator.number("dead_letters") == 2, "its count is known")
