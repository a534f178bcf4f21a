"""The loops: one for each broker, virtual host and credential, so that a dead broker delays no other.

A loop that fails ends the process, as one that silently stands still would hold the workers for ever.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from workqueue_broker.address import BrokerAddress
from workqueue_broker.backoff import full_jitter
from workqueue_broker.errors import AccessRefused, BrokerError, BrokerUnavailable, InvalidAddress

from workqueue_operator.addresses import Addresses
from workqueue_operator.clock import Clock
from workqueue_operator.cluster import Cluster, ClusterError, Listing, Notice
from workqueue_operator.demand import Counts
from workqueue_operator.management import ManagementApi
from workqueue_operator.measuring import Measuring
from workqueue_operator.metrics import Metrics
from workqueue_operator.queue_reader import Answer, QueueReader, QueueReading
from workqueue_operator.reconcile import Reconciler
from workqueue_operator.resource import Declare, Mode, QueueSpec, WorkQueue
from workqueue_operator.scaling import Unknown
from workqueue_operator.store import Store, Tracked

#: Seconds between two readings of a queue while the broker's read budget allows.
FASTEST_SECONDS = 0.2
#: The read budget: passive declares a second for one broker, past which pollPeriodSeconds alone rules.
READS_PER_SECOND = 500
#: Seconds between two looks for new Secrets, and between two lists that catch what the watch has missed.
ASSIGN_SECONDS = 2.0
RESYNC_SECONDS = 60.0
#: Bounds of the wait, in seconds, before a broker that did not answer is tried again.
RETRY_BASE_SECONDS = 0.25
RETRY_CAP_SECONDS = 3.0
#: What each queue gets when the broker as a whole cannot be used.
NO_ANSWER = (BrokerUnavailable, AccessRefused, InvalidAddress)
#: Seconds without a beat after which a loop counts as stuck.
STUCK_SECONDS = 60.0
#: Seconds between two beats of a loop that waits.
BEAT_SECONDS = 1.0

T = TypeVar("T")


@dataclass(frozen=True)
class Readers:
    """How to read a broker: its queues over AMQP, and its management API."""

    open_queues: Callable[[BrokerAddress], QueueReader]
    open_management: Callable[[BrokerAddress], ManagementApi]


class Scheduler:
    """Runs the loops; `trouble` is what the liveness probe asks."""

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
        self._reconciler = reconciler
        self._readers = readers
        self._metrics = metrics
        self._clock = clock
        self._addresses = Addresses(store, cluster, clock)
        self._measuring = Measuring(store, readers.open_management, metrics, clock)
        self._watched: set[BrokerAddress] = set()
        self._beats: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled, or until a loop fails."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._assign(loops), name="assign")
            loops.create_task(self._resync(), name="resync")
            loops.create_task(self._pass_over_unread(), name="unread")

    def trouble(self) -> str | None:
        """Which loop stands still; None when all of them go on."""
        stuck = [name for name, age in self.ages().items() if age > STUCK_SECONDS]
        return f"no beat for {STUCK_SECONDS:.0f} s from: {', '.join(stuck)}" if stuck else None

    def ages(self) -> dict[str, float]:
        """Seconds since each loop's last beat, by its name."""
        now = self._clock.monotonic()
        return {name: now - beat for name, beat in self._beats.items()}

    async def _assign(self, loops: asyncio.TaskGroup) -> None:
        """Look addresses up and keep one loop for each."""
        while True:
            self._beat("assign")
            self._store.changed.clear()
            await self._while_beating("assign", self._addresses.look_up())
            for address in {tracked.address for tracked in self._store} - self._watched:
                if isinstance(address, BrokerAddress):
                    self._watched.add(address)
                    loops.create_task(self._watch(address), name=str(address))
            with suppress(TimeoutError):
                async with asyncio.timeout(ASSIGN_SECONDS):
                    await self._store.changed.wait()

    async def _resync(self) -> None:
        """Catch what a broken watch has missed: above all WorkQueues that were deleted meanwhile."""
        while True:
            self._beat("resync")
            before = self._store.keys()  # one that comes while we list is not in the list, and not gone either
            listing = await self._while_beating("resync", self._list_workqueues())
            for error in listing.values():
                if isinstance(error, ClusterError):
                    self._metrics.cluster_errors.labels(error.kind).inc()
            self._store.replace_workqueues(listing, before)
            await self._sleep(RESYNC_SECONDS, "resync")

    async def _list_workqueues(self) -> Listing:
        return await self._cluster.list_workqueues()

    async def _watch(self, address: BrokerAddress) -> None:
        """Read a broker's queues, each as often as it may be, and start a pass after each reading."""
        reader = self._readers.open_queues(address)
        name = f"broker {address}"
        failures = 0
        try:
            async with asyncio.TaskGroup() as passes:
                measuring: asyncio.Task[None] | None = None
                while members := self._store.members(address):
                    self._beat(name)
                    started = self._clock.monotonic()
                    due = [tracked for tracked in members if self._is_due(tracked, len(members), started)]
                    failures = 0 if await self._read(reader, due, passes) else failures + 1
                    # After the first round, when the queues that were missing are there.
                    measuring = measuring or passes.create_task(
                        self._measuring.run(address, reader, partial(self._beat, f"management {address}"))
                    )
                    pause = _spacing(1, len(members)) + _pause_after(failures)
                    await asyncio.sleep(max(0.01, started + pause - self._clock.monotonic()))
                if measuring:
                    measuring.cancel()
        finally:
            self._watched.discard(address)
            self._beats.pop(name, None)
            self._beats.pop(f"management {address}", None)
            await reader.close()

    def _is_due(self, tracked: Tracked, members: int, now: float) -> bool:
        if tracked.asked_at is None or not isinstance(tracked.spec, WorkQueue):
            return True
        return now - tracked.asked_at >= 0.9 * _spacing(tracked.spec.scaling.poll_period_seconds, members)

    async def _read(self, reader: QueueReader, due: Sequence[Tracked], passes: asyncio.TaskGroup) -> bool:
        """Read and start the passes; False when the broker answered for none."""
        queues = [(tracked, _to_read(tracked.spec)) for tracked in due if isinstance(tracked.spec, WorkQueue)]
        now = self._clock.monotonic()
        for tracked, _ in queues:
            tracked.asked_at = now
        with self._metrics.read_seconds.time():
            answers = await reader.read([queue for _, queue in queues])
        for (tracked, _), answer in zip(queues, answers, strict=True):
            self._start(tracked, self._reading(tracked, answer), passes)
        return not due or not all(isinstance(answer, NO_ANSWER) for answer in answers)

    def _reading(self, tracked: Tracked, answer: Answer) -> Counts | Unknown:
        if isinstance(answer, QueueReading):
            self._metrics.readings.inc()
            tracked.heard(None)
            tracked.dead_letter_trouble = answer.dead_letter_trouble
            tracked.memory.read_at = tracked.asked_at
            if answer.created:
                tracked.notices.append(_created(tracked))
            return counted(tracked, answer, self._clock.monotonic())
        self._metrics.broker_errors.labels(answer.kind).inc()
        tracked.heard(answer)
        return unknown(answer)

    async def _pass_over_unread(self) -> None:
        """WorkQueues without a usable address are decided about too: they hold, fall back and say why."""
        async with asyncio.TaskGroup() as passes:
            while True:
                await self._sleep(1.0, "unread")  # first: at the start, all of them are just being looked up
                for tracked in self._store:
                    if not isinstance(tracked.address, BrokerAddress):
                        error = tracked.address or BrokerError("its broker was not looked up yet")
                        self._start(tracked, unknown(error), passes)

    def _start(self, tracked: Tracked, reading: Counts | Unknown, passes: asyncio.TaskGroup) -> None:
        """Start a pass, unless the one before it still goes on; the next reading is never far."""
        tracked.memory.reading = reading
        if tracked.running is None or tracked.running.done():
            tracked.running = passes.create_task(self._reconciler.reconcile(tracked, reading))

    async def _sleep(self, seconds: float, name: str) -> None:
        deadline = self._clock.monotonic() + seconds
        while (left := deadline - self._clock.monotonic()) > 0:
            self._beat(name)
            await asyncio.sleep(min(left, BEAT_SECONDS))

    async def _while_beating(self, name: str, work: Coroutine[Any, Any, T]) -> T:
        """Wait for requests to the API server: each has a time limit of its own, and a slow one is no standstill."""
        task = asyncio.create_task(work)
        try:
            while not task.done():
                self._beat(name)
                await asyncio.wait((task,), timeout=BEAT_SECONDS)
            return task.result()
        finally:
            task.cancel()

    def _beat(self, name: str) -> None:
        self._beats[name] = self._clock.monotonic()


def _to_read(workqueue: WorkQueue) -> QueueSpec:
    """The queue to read; a dry run makes none."""
    if workqueue.mode is Mode.DRY_RUN:
        return replace(workqueue.queue, declare=Declare.NEVER)
    return workqueue.queue


def counted(tracked: Tracked, answer: QueueReading, now: float) -> Counts:
    """The live counts, with what the management API last told."""
    last = tracked.estimate.last if tracked.estimate.is_fresh(now) else None
    return Counts(
        messages_ready=answer.counts.messages_ready,
        consumers=answer.counts.consumers,
        rates=tracked.estimate.rates(now),
        no_rates=tracked.no_rates,
        messages_unacknowledged=last.messages_unacknowledged if last else None,
        asked_at=tracked.asked_at,
    )


def unknown(error: BrokerError | ClusterError) -> Unknown:
    """What an error means for the decision."""
    words = "".join(part.capitalize() for part in error.kind.split("_"))
    return Unknown(words, str(error))


def _spacing(poll_period_seconds: float, queues: int) -> float:
    """Seconds between two readings of a queue: what the budget gives, but never more than was asked for."""
    return min(float(poll_period_seconds), max(FASTEST_SECONDS, queues / READS_PER_SECOND))


def _pause_after(failures: int) -> float:
    """Seconds to leave a broker alone that did not answer."""
    return full_jitter(failures, base=RETRY_BASE_SECONDS, cap=RETRY_CAP_SECONDS) if failures else 0.0


def _created(tracked: Tracked) -> Notice:
    name = tracked.spec.queue.declaration.name if isinstance(tracked.spec, WorkQueue) else ""
    return Notice("QueueCreated", f"queue {name} was not there and was declared")
