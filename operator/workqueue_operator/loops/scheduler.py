"""Decides what is read: one loop for each broker, virtual host and credential, so that a dead broker delays no other.

Each loop runs inside of the border: what fails in one is reported to the WorkQueues that it serves, and tried again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from workqueue_broker.address import BrokerAddress
from workqueue_broker.errors import BrokerError

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.port import Cluster, ClusterError
from workqueue_operator.loops.border import Loops, failure_of
from workqueue_operator.loops.broker_addresses import BrokerAddresses
from workqueue_operator.loops.broker_loop import BrokerLoop, unknown
from workqueue_operator.loops.dead_letter_loop import DeadLetterLoop
from workqueue_operator.loops.heartbeat import Heartbeat
from workqueue_operator.loops.management_loop import ManagementLoop
from workqueue_operator.loops.pass_starter import PassStarter
from workqueue_operator.metrics import Metrics
from workqueue_operator.passes.reconcile import Reconciler
from workqueue_operator.rabbitmq.management_api import ManagementApi, ManagementUnavailable
from workqueue_operator.rabbitmq.queue_reader import QueueReader
from workqueue_operator.store import Store

#: Seconds between two looks for new Secrets, and between two lists that catch what the watch has missed.
ASSIGN_SECONDS = 2.0
RESYNC_SECONDS = 60.0
#: Seconds between two passes over a WorkQueue without a usable address.
UNREAD_SECONDS = 1.0


@dataclass(frozen=True)
class Readers:
    """How to read a broker: its queues over AMQP, and its management API for a namespace."""

    open_queues: Callable[[BrokerAddress], QueueReader]
    open_management: Callable[[BrokerAddress, str], ManagementApi]


class Scheduler:
    """Runs the loops; `loops` knows how they are."""

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        reconciler: Reconciler,
        readers: Readers,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._metrics = metrics
        self._addresses = BrokerAddresses(store, cluster, metrics, clock)
        self._measuring = ManagementLoop(store, readers.open_management, metrics, clock)
        self._counting = DeadLetterLoop(store, clock)
        self._passes = PassStarter(reconciler, metrics, clock)
        self._brokers = BrokerLoop(store, readers.open_queues, self._passes.start, self._start_beside, metrics, clock)
        self._watched: set[BrokerAddress] = set()
        self.loops = Loops(clock, metrics)

    async def run(self) -> None:
        """Run all loops until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.loops.keep("assign", "assign", partial(self._assign, group)))
                group.create_task(self.loops.keep("resync", "resync", self._resync))
                group.create_task(self.loops.keep("unread", "unread", self._pass_over_unread))
        finally:
            self._passes.stop()

    async def _assign(self, group: asyncio.TaskGroup, heart: Heartbeat) -> None:
        """Look addresses up and keep one loop for each."""
        while True:
            self._store.changed.clear()
            await heart.during(self._addresses.look_up())
            for address in {tracked.address for tracked in self._store} - self._watched:
                if isinstance(address, BrokerAddress):
                    self._watched.add(address)
                    group.create_task(self._keep_reading(address), name=str(address))
            await heart.sleep_until(self._store.changed, ASSIGN_SECONDS)

    async def _resync(self, heart: Heartbeat) -> None:
        """Catch what a broken watch has missed: above all WorkQueues that were deleted."""
        while True:
            before = self._store.keys()  # one that comes while we list is not in the list, and not gone either
            listing = await heart.during(self._cluster.list_workqueues())
            for error in listing.values():
                if isinstance(error, ClusterError):
                    self._metrics.cluster_errors.labels(error.kind).inc()
            self._store.replace_workqueues(listing, before)
            await heart.sleep(RESYNC_SECONDS)

    async def _pass_over_unread(self, heart: Heartbeat) -> None:
        """WorkQueues without a usable address are decided about too: they hold, fall back and report why."""
        while True:
            await heart.sleep(UNREAD_SECONDS)  # first: at the start, all of them are just being looked up
            for tracked in self._store:
                if not isinstance(tracked.address, BrokerAddress):
                    error = tracked.address or BrokerError("its broker was not looked up yet")
                    self._passes.start(tracked, unknown(error))

    async def _keep_reading(self, address: BrokerAddress) -> None:
        try:
            read, failed = partial(self._brokers.run, address), partial(self._brokers.failed, address)
            await self.loops.keep("broker", f"broker {address}", read, failed)
        finally:
            self._watched.discard(address)

    def _start_beside(self, address: BrokerAddress, reader: QueueReader) -> "list[asyncio.Task[None]]":
        """The loops that run beside a broker's readings: its management API, and its dead-letter queues."""
        count = partial(self._counting.run, address, reader)
        counting = self.loops.keep("dead_letters", f"dead letters {address}", count)
        return [asyncio.create_task(self._keep_measuring(address, reader)), asyncio.create_task(counting)]

    async def _keep_measuring(self, address: BrokerAddress, reader: QueueReader) -> None:
        def failed(error: Exception) -> None:
            self._measuring.failed(address, reader, ManagementUnavailable(failure_of("management API", error)))

        measure = partial(self._measuring.run, address, reader)
        await self.loops.keep("management", f"management {address}", measure, failed)
