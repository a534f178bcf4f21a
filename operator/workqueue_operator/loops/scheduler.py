"""The loops: one for each broker, virtual host and credential, so that a dead broker delays no other.

Each runs inside of the border of loops.py: whatever fails in one is reported to those whom it serves, and tried again.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from workqueue_broker.address import BrokerAddress
from workqueue_broker.backoff import full_jitter
from workqueue_broker.declaration import Declare
from workqueue_broker.errors import AccessRefused, BrokerError, BrokerUnavailable, InvalidAddress

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.port import Cluster, ClusterError, Notice
from workqueue_operator.loops.border import BEAT_SECONDS, Beat, Loops, described, while_beating
from workqueue_operator.loops.broker_addresses import Addresses
from workqueue_operator.loops.dead_letter_loop import Counting
from workqueue_operator.loops.management_loop import Measuring
from workqueue_operator.loops.pace import Asked, Pace, spacing_of
from workqueue_operator.metrics import Metrics
from workqueue_operator.passes.reconcile import Reconciler
from workqueue_operator.rabbitmq.leader import has_leader
from workqueue_operator.rabbitmq.management_api import ManagementApi, ManagementUnavailable
from workqueue_operator.rabbitmq.queue_reader import QueueReader, QueueReading, ReadResult
from workqueue_operator.resource import Mode, QueueSpec, WorkQueue
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.store import Store, Tracked

#: Seconds between two looks for new Secrets, and between two lists that catch what the watch has missed.
ASSIGN_SECONDS = 2.0
RESYNC_SECONDS = 60.0
#: Bounds of the wait, in seconds, before a broker that did not answer is tried again.
RETRY_BASE_SECONDS = 0.25
RETRY_CAP_SECONDS = 3.0
#: What each queue gets when the broker as a whole cannot be used.
NO_ANSWER = (BrokerUnavailable, AccessRefused, InvalidAddress)
#: Seconds for which a WorkQueue whose pass failed in a way that is not foreseen is left alone.
FAILED_PASS_SECONDS = 10.0

log = logging.getLogger(__name__)


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
        self._reconciler = reconciler
        self._readers = readers
        self._metrics = metrics
        self._clock = clock
        self._addresses = Addresses(store, cluster, metrics, clock)
        self._measuring = Measuring(store, readers.open_management, metrics, clock)
        self._counting = Counting(store, clock)
        self._watched: set[BrokerAddress] = set()
        self._passes: set[asyncio.Task[None]] = set()
        self.loops = Loops(clock, metrics)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.loops.keep("assign", "assign", partial(self._assign, group)))
                group.create_task(self.loops.keep("resync", "resync", self._resync))
                group.create_task(self.loops.keep("unread", "unread", self._pass_over_unread))
        finally:
            for task in self._passes:
                task.cancel()

    async def _assign(self, group: asyncio.TaskGroup, beat: Beat) -> None:
        """Look addresses up and keep one loop for each."""
        while True:
            beat()
            self._store.changed.clear()
            await while_beating(beat, self._addresses.look_up())
            for address in {tracked.address for tracked in self._store} - self._watched:
                if isinstance(address, BrokerAddress):
                    self._watched.add(address)
                    group.create_task(self._keep_watching(address), name=str(address))
            with suppress(TimeoutError):
                async with asyncio.timeout(ASSIGN_SECONDS):
                    await self._store.changed.wait()

    async def _resync(self, beat: Beat) -> None:
        """Catch what a broken watch has missed: above all WorkQueues that were deleted meanwhile."""
        while True:
            before = self._store.keys()  # one that comes while we list is not in the list, and not gone either
            listing = await while_beating(beat, self._cluster.list_workqueues())
            for error in listing.values():
                if isinstance(error, ClusterError):
                    self._metrics.cluster_errors.labels(error.kind).inc()
            self._store.replace_workqueues(listing, before)
            await self._sleep(RESYNC_SECONDS, beat)

    async def _keep_watching(self, address: BrokerAddress) -> None:
        try:
            watch, failed = partial(self._watch, address), partial(self._broker_failed, address)
            await self.loops.keep("broker", f"broker {address}", watch, failed)
        finally:
            self._watched.discard(address)

    async def _watch(self, address: BrokerAddress, beat: Beat) -> None:
        """Read a broker's queues, each as often as it may be, and start a pass after each reading."""
        reader = self._readers.open_queues(address)
        beside: list[asyncio.Task[None]] = []
        failures, pace = 0, Pace()
        try:
            while members := self._store.members(address):
                beat()
                started = self._clock.monotonic()
                due = [tracked for tracked in members if self._is_due(tracked, len(members), started, pace)]
                failures = 0 if await self._read(address, reader, due, pace) else failures + 1
                # After the first round, when the queues that were missing are there.
                beside = beside or self._start_beside(address, reader)
                self._pass_over_resting(members, due, pace)
                pause = spacing_of(1, len(members)) + _pause_after(failures)
                await asyncio.sleep(max(0.01, started + pause - self._clock.monotonic()))
        finally:
            for task in beside:
                task.cancel()
            if beside:
                await asyncio.wait(beside)
            await reader.close()

    def _start_beside(self, address: BrokerAddress, reader: QueueReader) -> list[asyncio.Task[None]]:
        """The loops that go on beside the readings."""
        count = partial(self._counting.run, address, reader)
        counting = self.loops.keep("dead_letters", f"dead letters {address}", count)
        return [asyncio.create_task(self._keep_measuring(address, reader)), asyncio.create_task(counting)]

    async def _keep_measuring(self, address: BrokerAddress, reader: QueueReader) -> None:
        def failed(error: Exception) -> None:
            self._measuring.failed(address, reader, ManagementUnavailable(_failed("management API", error)))

        measure = partial(self._measuring.run, address, reader)
        await self.loops.keep("management", f"management {address}", measure, failed)

    def _broker_failed(self, address: BrokerAddress, error: Exception) -> None:
        unavailable = BrokerUnavailable(_failed("broker", error))
        for tracked in self._store.members(address):
            self._start(tracked, self._reading(tracked, unavailable))

    def _is_due(self, tracked: Tracked, members: int, now: float, pace: Pace) -> bool:
        asked_at, workqueue = tracked.last.asked_at, tracked.workqueue
        if asked_at is None or workqueue is None:
            return True
        poll = workqueue.scaling.poll_period_seconds
        return now - asked_at >= 0.9 * pace.seconds(_asked(tracked, workqueue), poll, members)

    def _pass_over_resting(self, members: Sequence[Tracked], due: Sequence[Tracked], pace: Pace) -> None:
        """Queues that are not asked for, as they cannot be used: their WorkQueues are decided about all the same."""
        read = {tracked.key for tracked in due}
        asked = {tracked.key: _asked(tracked, tracked.workqueue) for tracked in members if tracked.workqueue}
        pace.keep(set(asked.values()))
        for tracked in members:
            trouble = tracked.last.trouble
            if trouble and tracked.key not in read and tracked.key in asked and pace.rests(asked[tracked.key]):
                self._start(tracked, unknown(trouble))

    async def _read(self, address: BrokerAddress, reader: QueueReader, due: Sequence[Tracked], pace: Pace) -> bool:
        """Read and start the passes; False when the broker answered for none.

        No pass for a WorkQueue that went while its queue was read, or that names another queue or broker by now.
        """
        queues = [(tracked, _to_read(tracked.workqueue)) for tracked in due if tracked.workqueue]
        now = self._clock.monotonic()
        for tracked, _ in queues:
            tracked.last.asked_at = now
        with self._metrics.read_seconds.time():
            answers = await reader.read([queue for _, queue in queues])
        members = {tracked.key: tracked for tracked in self._store.members(address)}
        for (tracked, queue), answer in zip(queues, answers, strict=True):
            pace.answered((tracked.key, queue), answer)
            if members.get(tracked.key) is tracked and _names(tracked.workqueue, queue):
                self._start(tracked, self._reading(tracked, answer))
        return not due or not all(isinstance(answer, NO_ANSWER) for answer in answers)

    def _reading(self, tracked: Tracked, answer: ReadResult) -> Counts | Unknown:
        if isinstance(answer, QueueReading):
            self._metrics.readings.inc()
            tracked.note_answer(None)
            last = tracked.last
            last.trouble, last.dead_letter_trouble = answer.mismatch, answer.dead_letter_trouble
            last.read_at = last.asked_at
            if answer.created:
                tracked.notices.append(_created(tracked))
            return counted(tracked, answer, self._clock.monotonic())
        self._store.count_broker_error(tracked.address, answer.kind)
        tracked.note_answer(answer)
        return unknown(answer)

    async def _pass_over_unread(self, beat: Beat) -> None:
        """WorkQueues without a usable address are decided about too: they hold, fall back and say why."""
        while True:
            await self._sleep(1.0, beat)  # first: at the start, all of them are just being looked up
            for tracked in self._store:
                if not isinstance(tracked.address, BrokerAddress):
                    error = tracked.address or BrokerError("its broker was not looked up yet")
                    self._start(tracked, unknown(error))

    def _start(self, tracked: Tracked, reading: Counts | Unknown) -> None:
        """Start a pass, unless the one before it still goes on; the next reading is never far."""
        tracked.last.reading = reading
        if self._clock.monotonic() >= tracked.next_pass_at and (tracked.running is None or tracked.running.done()):
            tracked.running = asyncio.create_task(self._pass(tracked, reading))
            self._passes.add(tracked.running)
            tracked.running.add_done_callback(self._passes.discard)

    async def _pass(self, tracked: Tracked, reading: Counts | Unknown) -> None:
        try:
            await self._reconciler.reconcile(tracked, reading)
        except Exception as error:  # noqa: BLE001 - the border: one WorkQueue's pass ends no other one's
            self._metrics.loop_failures.labels("pass").inc()
            tracked.next_pass_at = self._clock.monotonic() + FAILED_PASS_SECONDS
            text = "%s: the pass failed, the next is in %.0f s: %s"
            log.error(text, tracked.key, FAILED_PASS_SECONDS, described(error))

    async def _sleep(self, seconds: float, beat: Beat) -> None:
        deadline = self._clock.monotonic() + seconds
        while (left := deadline - self._clock.monotonic()) > 0:
            beat()
            await asyncio.sleep(min(left, BEAT_SECONDS))


def _failed(whose: str, error: Exception) -> str:
    """For a status: without the error's words, which nobody foresaw and may be a server's or a Secret's."""
    text = f"the operator's loop for this {whose} failed ({type(error).__name__}) and is run again"
    return f"{text}; its log says where: report it if it stays"


def _asked(tracked: Tracked, workqueue: WorkQueue) -> Asked:
    return tracked.key, _to_read(workqueue)


def _names(workqueue: WorkQueue | None, queue: QueueSpec) -> bool:
    return workqueue is not None and workqueue.queue.declaration == queue.declaration


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
        messages_unacknowledged=last.messages_unacknowledged if last else None,
        asked_at=tracked.last.asked_at,
        has_leader=_has_leader(tracked, answer, now),
    )


def _has_leader(tracked: Tracked, answer: QueueReading, now: float) -> bool:
    """Whether 0 and 0, if that is the answer, is known to be an empty queue's."""
    if (answer.counts.messages_ready, answer.counts.consumers) != (0, 0) or not tracked.workqueue:
        tracked.empty_since = None
        return False
    tracked.empty_since = now if tracked.empty_since is None else tracked.empty_since
    return has_leader(tracked.leader, tracked.workqueue.queue.declaration.type, tracked.empty_since, now)


def unknown(error: BrokerError | ClusterError) -> Unknown:
    """What an error means for the decision."""
    words = "".join(part.capitalize() for part in error.kind.split("_"))
    return Unknown(words, str(error))


def _pause_after(failures: int) -> float:
    """Seconds to leave a broker alone that did not answer."""
    return full_jitter(failures, base=RETRY_BASE_SECONDS, cap=RETRY_CAP_SECONDS) if failures else 0.0


def _created(tracked: Tracked) -> Notice:
    name = tracked.workqueue.queue.declaration.name if tracked.workqueue else ""
    return Notice("QueueCreated", f"queue {name} was missing, the operator declared it")
