"""The loop that counts dead-letter queues: one that fails in an unforeseen way keeps no other from its count."""

from dataclasses import dataclass

from workqueue_broker.declaration import QueueCounts

from tests.support.fakes import FakeQueueReader
from tests.support.operating import NEIGHBOUR, operating

SECRET = {"host": "broker"}


@dataclass
class OddReader(FakeQueueReader):
    """A broker whose answer about one dead-letter queue fails the library."""

    odd: str = ""

    async def count(self, name: str) -> QueueCounts:
        if name == self.odd:
            raise ZeroDivisionError(name)
        return await super().count(name)


async def test_a_count_that_fails_in_an_unforeseen_way_keeps_no_other_queue_from_its_own() -> None:
    reader = OddReader(odd="jobs.dead")
    reader.queues["neighbour.dead"] = QueueCounts(2, 0)
    async with operating(lambda _: reader) as operator:
        operator.add(SECRET)
        operator.add_neighbour(SECRET)
        (neighbour,) = (tracked for tracked in operator.store if tracked.key == NEIGHBOUR)
        await operator.until(lambda: neighbour.dead_letters.messages == 2, "the neighbour's are counted", seconds=10)
