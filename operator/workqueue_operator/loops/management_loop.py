"""The loop that asks a broker's management API, every few seconds for a whole virtual host: how the queues move, and
which policies there are. Without that API it says what is missing.
"""

from collections.abc import Callable, Mapping, Sequence

from workqueue_broker.address import BrokerAddress

from workqueue_operator.clock import Clock
from workqueue_operator.loops.heartbeat import Heartbeat
from workqueue_operator.loops.policy_keeper import PolicyKeeper, verdict_of
from workqueue_operator.metrics import Metrics
from workqueue_operator.rabbitmq.leader import LeaderSeen
from workqueue_operator.rabbitmq.management_api import ManagementApi, ManagementError
from workqueue_operator.rabbitmq.oldest_message import QueueTotals
from workqueue_operator.rabbitmq.queue_policy import QueueInForce, consumer_timeout, missing_management_api
from workqueue_operator.rabbitmq.queue_reader import QueueReader
from workqueue_operator.resource import Key
from workqueue_operator.scaling.demand import NoRates
from workqueue_operator.scaling.rates import NO_NUMBERS, Sample
from workqueue_operator.store import Store
from workqueue_operator.tracked import Tracked

#: Seconds between two questions to the management API; its own statistics are made every 5 s.
MEASURE_SECONDS = 5.0


class ManagementLoop:
    """Asks for the WorkQueues of a store."""

    def __init__(
        self,
        store: Store,
        open_management: Callable[[BrokerAddress, str], ManagementApi],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._store = store
        self._open_management = open_management
        self._metrics = metrics
        self._clock = clock

    async def run(self, address: BrokerAddress, reader: QueueReader, heart: Heartbeat) -> None:
        """Ask until cancelled."""
        policies = self._policies(reader)
        if not address.management_uri:
            while True:
                heart.beat()
                _note_sharers(self._store.members(address))
                policies.report_to_all(address, missing_management_api())
                await heart.sleep(MEASURE_SECONDS)
        oldest = next(iter(self._store.members(address)), None)
        api = self._open_management(address, oldest.key.namespace if oldest else "")
        try:
            while True:
                heart.beat()
                await self._measure(address, api, reader, policies)
                _note_sharers(self._store.members(address))
                await heart.sleep(MEASURE_SECONDS)
        finally:
            await api.close()

    def failed(self, address: BrokerAddress, reader: QueueReader, error: ManagementError) -> None:
        """Report the error as the state of all queues of the address."""
        self._store.count_broker_error(address, error.kind)
        for tracked in self._store.members(address):
            tracked.estimate = tracked.estimate.without_sample(NoRates(str(error)))
        self._policies(reader).report_to_all(address, verdict_of(error))

    def _policies(self, reader: QueueReader) -> PolicyKeeper:
        return PolicyKeeper(self._store, reader, self._metrics, self._clock)

    async def _measure(
        self, address: BrokerAddress, api: ManagementApi, reader: QueueReader, policies: PolicyKeeper
    ) -> None:
        try:
            asked_at = self._clock.monotonic()
            answer = await api.read(asked_at)
        except ManagementError as error:
            self.failed(address, reader, error)
            return
        for tracked in self._store.members(address):
            seen = answer.there.queues.get(_queue_of(tracked))
            _measured(tracked, answer.samples)
            _measured_oldest(tracked, seen, answer.samples.get(_queue_of(tracked)), asked_at)
            tracked.leader = _leader(seen, asked_at)
            tracked.dead_letter_leader = _leader(answer.there.queues.get(_dead_letter_queue_of(tracked)), asked_at)
            if seen and seen.definition is not None:  # a broker that just started does not have it yet
                tracked.consumer_timeout = consumer_timeout(seen)
        await policies.keep(api, address, answer.there)


def _measured(tracked: Tracked, samples: Mapping[str, Sample]) -> None:
    sample, estimate = samples.get(_queue_of(tracked)), tracked.estimate
    tracked.estimate = estimate.updated(sample) if sample else estimate.without_sample(NO_NUMBERS)


def _measured_oldest(tracked: Tracked, seen: QueueInForce | None, sample: Sample | None, asked_at: float) -> None:
    if seen:
        totals = QueueTotals(sample.published, sample.acked) if sample else None
        tracked.oldest.measured(asked_at, totals, ordered=seen.ordered)


def _queue_of(tracked: Tracked) -> str:
    return tracked.workqueue.queue.declaration.name if tracked.workqueue else ""


def _dead_letter_queue_of(tracked: Tracked) -> str:
    return tracked.workqueue.queue.dead_letter_queue if tracked.workqueue else ""


def _leader(seen: QueueInForce | None, asked_at: float) -> LeaderSeen | None:
    return LeaderSeen(asked_at, seen.type, seen.empty) if seen else None


def _note_sharers(members: Sequence[Tracked]) -> None:
    """Which WorkQueues have the same queue."""
    by_queue: dict[str, list[Key]] = {}
    for tracked in members:
        by_queue.setdefault(_queue_of(tracked), []).append(tracked.key)
    for tracked in members:
        shared = by_queue[_queue_of(tracked)] if _queue_of(tracked) else []
        tracked.sharers = tuple(key for key in shared if key != tracked.key)
