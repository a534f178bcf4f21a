"""The loop that counts a broker's dead-letter queues, beside the readings and over their connection. It delays none."""

from workqueue_broker.address import BrokerAddress
from workqueue_broker.errors import BrokerError

from workqueue_operator.clock import Clock
from workqueue_operator.loops.heartbeat import Heartbeat
from workqueue_operator.rabbitmq.dead_letters import DeadLetters
from workqueue_operator.rabbitmq.queue_reader import QueueReader
from workqueue_operator.resource import WorkQueue
from workqueue_operator.store import Store
from workqueue_operator.tracked import Tracked

#: Seconds between two looks for a queue that is due.
LOOK_SECONDS = 1.0


class DeadLetterLoop:
    """Counts for the WorkQueues of a store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self, address: BrokerAddress, reader: QueueReader, heart: Heartbeat) -> None:
        """Count until cancelled."""
        while True:
            heart.beat()
            for tracked in self._store.members(address):
                now = self._clock.monotonic()
                if tracked.workqueue and tracked.dead_letters.ask_at <= now:
                    heart.beat()
                    before = tracked.dead_letters = tracked.dead_letters.asked(now)
                    after = await self._counted(tracked, tracked.workqueue, reader)
                    if tracked.dead_letters is before:  # else it names another queue by now
                        tracked.dead_letters = after
            await heart.sleep(LOOK_SECONDS)

    async def _counted(self, tracked: Tracked, spec: WorkQueue, reader: QueueReader) -> DeadLetters:
        known = tracked.dead_letters
        try:
            counts = await reader.count(spec.queue.dead_letter_queue)
        except BrokerError as error:
            return known.failed(error, self._clock.monotonic())
        return known.counted(counts, tracked.dead_letter_leader, spec.queue, self._clock.monotonic())
