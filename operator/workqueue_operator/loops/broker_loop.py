"""The loop that reads one broker's queues, each as often as it may be read, and starts a pass after each reading."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from workqueue_broker.address import BrokerAddress
from workqueue_broker.backoff import full_jitter
from workqueue_broker.declaration import Declare
from workqueue_broker.errors import AccessRefused, BrokerError, BrokerUnavailable, InvalidAddress

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.port import ClusterError, Notice
from workqueue_operator.loops.border import failure_of
from workqueue_operator.loops.heartbeat import Heartbeat
from workqueue_operator.loops.pace import Asked, Pace, spacing_of
from workqueue_operator.metrics import Metrics
from workqueue_operator.rabbitmq.leader import has_leader
from workqueue_operator.rabbitmq.queue_reader import QueueReader, QueueReading, ReadResult
from workqueue_operator.resource import Mode, QueueSpec, WorkQueue
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.store import Store
from workqueue_operator.tracked import Tracked

#: Bounds of the wait, in seconds, before a broker that did not answer is tried again.
RETRY_BASE_SECONDS = 0.25
RETRY_CAP_SECONDS = 3.0
#: What each queue gets when the broker as a whole cannot be used.
NO_ANSWER = (BrokerUnavailable, AccessRefused, InvalidAddress)
#: The shortest wait between two rounds, seconds.
LEAST_PAUSE_SECONDS = 0.01

StartPass = Callable[[Tracked, Counts | Unknown], None]
#: Starts the loops that run beside the readings, over the reader's connection.
StartBeside = Callable[[BrokerAddress, QueueReader], list["asyncio.Task[None]"]]


class BrokerLoop:
    """Reads the queues of the brokers; `run` is the loop for one broker, virtual host and credential."""

    def __init__(
        self,
        store: Store,
        open_queues: Callable[[BrokerAddress], QueueReader],
        start_pass: StartPass,
        start_beside: StartBeside,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._store = store
        self._open_queues = open_queues
        self._start_pass = start_pass
        self._start_beside = start_beside
        self._metrics = metrics
        self._clock = clock

    async def run(self, address: BrokerAddress, heart: Heartbeat) -> None:
        """Read until no WorkQueue names the address."""
        reader = self._open_queues(address)
        beside: list[asyncio.Task[None]] = []
        failures, pace = 0, Pace()
        try:
            while members := self._store.members(address):
                heart.beat()
                started = self._clock.monotonic()
                due = [tracked for tracked in members if self._is_due(tracked, len(members), started, pace)]
                failures = 0 if await self._read(address, reader, due, pace) else failures + 1
                # After the first round, when the queues that were missing are there.
                beside = beside or self._start_beside(address, reader)
                self._pass_over_resting(members, due, pace)
                pause = spacing_of(1, len(members)) + _pause_after(failures)
                await heart.sleep(max(LEAST_PAUSE_SECONDS, started + pause - self._clock.monotonic()))
        finally:
            for task in beside:
                task.cancel()
            if beside:
                await asyncio.wait(beside)
            await reader.close()

    def failed(self, address: BrokerAddress, error: Exception) -> None:
        """Report a failure of the loop as the state of all queues of the address."""
        unavailable = BrokerUnavailable(failure_of("broker", error))
        for tracked in self._store.members(address):
            self._start_pass(tracked, self._reading(tracked, unavailable))

    def _is_due(self, tracked: Tracked, members: int, now: float, pace: Pace) -> bool:
        asked_at, workqueue = tracked.last.asked_at, tracked.workqueue
        if asked_at is None or workqueue is None:
            return True
        poll = workqueue.scaling.poll_period_seconds
        return now - asked_at >= 0.9 * pace.seconds(_asked(tracked, workqueue), poll, members)

    def _pass_over_resting(self, members: Sequence[Tracked], due: Sequence[Tracked], pace: Pace) -> None:
        """Start passes over queues that are not read, as they cannot be used: they are decided about all the same."""
        read = {tracked.key for tracked in due}
        asked = {tracked.key: _asked(tracked, tracked.workqueue) for tracked in members if tracked.workqueue}
        pace.keep(set(asked.values()))
        for tracked in members:
            trouble = tracked.last.trouble
            if trouble and tracked.key not in read and tracked.key in asked and pace.rests(asked[tracked.key]):
                self._start_pass(tracked, unknown(trouble))

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
                self._start_pass(tracked, self._reading(tracked, answer))
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
    """The live counts, with what the management API last answered."""
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
