"""Keeps the policies of a broker's queues: looks at what is there, sets what is wrong, and remembers what it found.

Called by the loop that asks the management API, with one answer for a whole virtual host.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from workqueue_broker.address import BrokerAddress

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.port import Notice
from workqueue_operator.metrics import Metrics
from workqueue_operator.rabbitmq.management_api import ManagementApi, ManagementError, ManagementRefused, PolicyRefused
from workqueue_operator.rabbitmq.queue_policy import (
    ACCESS_REFUSED,
    MANAGEMENT_API_UNAVAILABLE,
    POLICY_REFUSED,
    Action,
    Leave,
    MakeDeadLetterQueue,
    SetPolicy,
    Verdict,
    VirtualHost,
    hands_off,
    is_asked_for,
    missing_dead_letter_queue,
    plan,
    unclear_owner,
    waiting,
)
from workqueue_operator.rabbitmq.queue_reader import QueueReader
from workqueue_operator.resource import WorkQueue
from workqueue_operator.store import Store
from workqueue_operator.tracked import PolicyCheck, Tracked

#: Seconds in which policies are set, for each look: a quarter of the time. For each policy that is set RabbitMQ matches
#: all policies with all queues of the virtual host, which for a thousand of them takes seconds.
SET_SECONDS = 1.25


@dataclass(frozen=True)
class _Planned:
    """What to do for a WorkQueue as it was when that was decided; it may change while others are done."""

    tracked: Tracked
    workqueue: WorkQueue
    action: Action

    @property
    def was_refused(self) -> bool:
        return self.tracked.policy is not None and self.tracked.policy.verdict.reason == POLICY_REFUSED

    def remember(self, verdict: Verdict) -> None:
        self.tracked.policy = PolicyCheck(self.workqueue.queue, self.workqueue.mode, verdict)


class PolicyKeeper:
    """Keeps the policies of all queues of one address."""

    def __init__(self, store: Store, reader: QueueReader, metrics: Metrics, clock: Clock) -> None:
        self._store = store
        self._reader = reader
        self._metrics = metrics
        self._clock = clock
        #: Seconds that setting policies may take now; below zero after one that took long.
        self._seconds_left = 0.0

    async def keep(self, api: ManagementApi, address: BrokerAddress, there: VirtualHost) -> None:
        """Look at each queue's policy, and set those that are missing or changed, as many as there is time for."""
        self._seconds_left = min(SET_SECONDS, self._seconds_left + SET_SECONDS)
        trouble: Verdict | None = None
        for planned in self._plans(address, there):
            if isinstance(planned.action, Leave):
                planned.remember(planned.action.verdict)
            elif isinstance(planned.action, MakeDeadLetterQueue):
                self._make_dead_letter_queue(planned, planned.action)
            elif trouble:
                planned.remember(trouble)
            elif self._seconds_left > 0:
                trouble = await self._set(api, planned, planned.action)
            elif not planned.was_refused:
                planned.remember(waiting(planned.action.policy))

    def report_to_all(self, address: BrokerAddress, verdict: Verdict) -> None:
        """The same for each queue, as none could be looked at."""
        for tracked in self._store.members(address):
            if tracked.workqueue:
                tracked.policy = PolicyCheck(tracked.workqueue.queue, tracked.workqueue.mode, verdict)

    def _plans(self, address: BrokerAddress, there: VirtualHost) -> Sequence[_Planned]:
        """For each queue: limits that the user asked for before defaults, and last those refused before."""
        plans = [
            _Planned(tracked, workqueue, self._plan(tracked, workqueue, there))
            for tracked in self._store.members(address)
            if (workqueue := tracked.workqueue)
        ]
        return sorted(plans, key=lambda planned: (planned.was_refused, not is_asked_for(planned.workqueue.queue)))

    def _plan(self, tracked: Tracked, spec: WorkQueue, there: VirtualHost) -> Action:
        older = _older(tracked, self._store.rivals(tracked))
        if older and older.login_works is None:
            return Leave(unclear_owner())
        owner = _name_for(tracked, older) if older else None
        return plan(spec.queue, there, hands_off(spec.queue, spec.mode, owner))

    def _make_dead_letter_queue(self, planned: _Planned, action: MakeDeadLetterQueue) -> None:
        queue, trouble = planned.workqueue.queue, planned.tracked.last.dead_letter_trouble
        planned.remember(missing_dead_letter_queue(queue, str(trouble)) if trouble else action.verdict)
        self._reader.declare_dead_letter_queue(queue)

    async def _set(self, api: ManagementApi, planned: _Planned, action: SetPolicy) -> Verdict | None:
        """The trouble that the next one would meet too, if any."""
        started = self._clock.monotonic()
        try:
            await api.set_policy(action.policy)
        except ManagementError as error:
            self._store.count_broker_error(planned.tracked.address, error.kind)
            planned.remember(verdict_of(error))
            return None if isinstance(error, PolicyRefused) else verdict_of(error)
        finally:
            self._seconds_left -= self._clock.monotonic() - started
        self._metrics.policies_set.inc()
        text = f"policy {action.policy.name} was set: {action.why}"
        planned.tracked.notices.append(Notice("PolicySet", text))
        planned.remember(waiting(action.policy))
        return None


def verdict_of(error: ManagementError) -> Verdict:
    """What an error of the management API means for the limits."""
    if isinstance(error, ManagementRefused):
        return Verdict(False, ACCESS_REFUSED, str(error))
    if isinstance(error, PolicyRefused):
        return Verdict(False, POLICY_REFUSED, str(error))
    return Verdict(False, MANAGEMENT_API_UNAVAILABLE, str(error))


def _older(tracked: Tracked, rivals: Sequence[Tracked]) -> Tracked | None:
    """The oldest WorkQueue of the same queue, by any login that works: two of them would set its policy in turns.

    A login that is refused claims nothing. One that was not tried yet may be the older one's, so that it counts.
    """
    for rival in rivals:
        if rival is tracked:
            break
        if rival.login_works is not False:
            return rival
    return None


def _name_for(reader: Tracked, other: Tracked) -> str:
    """The name of a WorkQueue, for a reader who may not see other namespaces."""
    return str(other.key) if other.key.namespace == reader.key.namespace else "of another namespace"
