"""Keeps a failed task unacknowledged until the broker has confirmed its copy. See docs/decisions/0106.

Waiting helps against some refusals: an alarm, a full queue, a lost connection. A broker that refuses the copy for what
it is gets a barer form of it, where there is one. A dead letter that its queue does not take waits in the task's
own queue, when RabbitMQ's delivery limit is near. What is left, a permission, a queue that the worker may not
make or a body that is too large, needs a person: the task is still held and tried, but the worker reports that it is
not ready, takes no new tasks, and hands the task back as soon as it must leave.
"""

import itertools
import logging
from collections.abc import Sequence
from typing import Protocol

from workqueue_broker.backoff import full_jitter
from workqueue_broker.errors import AccessRefused, BrokerError, MessageRefused, QueueMissing

from workqueue_worker import logs
from workqueue_worker.amqp import CopyRefused
from workqueue_worker.copy_publisher import CopyPublisher
from workqueue_worker.delivery import Delivery
from workqueue_worker.health import Health
from workqueue_worker.in_hand import InHand
from workqueue_worker.settlement import DELIVERY_LIMIT, FRESH_COPY_AT, returns
from workqueue_worker.task_copy import Copy

logger = logs.logger(__name__)

#: Seconds; the longest wait between two attempts at a copy.
COPY_WAIT_SECONDS = 10.0
#: Shown by probes while a publish waits.
_DURING_AN_ALARM = "; the broker confirms nothing during a memory or disk alarm"
#: Seconds; the shortest wait after a refusal that only a person can end.
LASTING_WAIT_SECONDS = 2.0


class Holder(Protocol):
    """What keeps a delivery unsettled: consumer.Consumer."""

    @property
    def stopping(self) -> bool: ...
    def is_stale(self, delivery: Delivery) -> bool: ...
    def hold(self, delivery: Delivery, seconds: float, *, also_when_stopping: bool = False) -> None: ...


class MustHandBack(Exception):
    """The worker must leave, and no waiting would get the copy published: the message has the reason."""


class Holding:
    """Publishes the copies of this worker's tasks. Safe from several threads."""

    def __init__(self, holder: Holder, copies: CopyPublisher, health: Health) -> None:
        self._holder = holder
        self._copies = copies
        self._health = health

    def pause(self, in_hand: InHand, seconds: float) -> None:
        """Keep the failed task until its retry is due, unless the worker must leave or the delivery is stale."""
        self._holder.hold(in_hand.delivery, seconds)

    def publish(self, in_hand: InHand, copy: Copy) -> None:
        """Return when the copy is confirmed, or when the delivery is not ours any more.

        Raises CopyRefused or MessageRefused when the broker does not take it, and MustHandBack.
        """
        self._publish(in_hand, [copy], (CopyRefused, MessageRefused))

    def insist(self, in_hand: InHand, copies: Sequence[Copy]) -> Copy:
        """The same for a task that would be lost without a copy; raises MustHandBack only.

        Returns the first of the copies that was confirmed. Each is tried when the queue of the one before refuses it.
        """
        return self._publish(in_hand, copies, ())

    def _publish(self, in_hand: InHand, copies: Sequence[Copy], raised: tuple[type[BrokerError], ...]) -> Copy:
        copy = copies[0]
        what = _description(in_hand, copy)
        self._health.hold(in_hand.key, f"{what} is not confirmed yet{_DURING_AN_ALARM}")
        lasting = False
        try:
            for failures in itertools.count(1):
                if self._holder.is_stale(in_hand.delivery):
                    break
                try:
                    return self._try_each(in_hand, copies)
                except raised:
                    raise
                except BrokerError as error:
                    lasting = lasting or _lasts(error, failures)
                    text = f"{what} cannot be published: {error}{_returned(in_hand.delivery)}"
                    self._wait(in_hand, text, failures, lasting)
        finally:
            self._health.release(in_hand.key)
        return copy

    def _try_each(self, in_hand: InHand, copies: Sequence[Copy]) -> Copy:
        copy, *others = copies
        try:
            self._try(in_hand, copy)
            return copy
        except (CopyRefused, QueueMissing, AccessRefused) as refused:  # what concerns the queue, and not the message
            if not others:
                raise
            try:
                return self._try_each(in_hand, others)
            except BrokerError as error:
                raise type(refused)(f"{refused}; nor can it wait in queue {others[0].queue!r}: {error}") from error

    def _try(self, in_hand: InHand, copy: Copy) -> None:
        try:
            self._copies.publish(copy, in_hand.delivery)
        except MessageRefused as refused:
            barer = copy.barer()
            if barer is None:
                raise
            logger.warning("%s goes without its headers: %s", _description(in_hand, copy), refused)
            self._copies.publish(barer, in_hand.delivery)

    def _wait(self, in_hand: InHand, text: str, failures: int, lasting: bool) -> None:
        level = logging.ERROR if lasting else logging.WARNING
        fields = {"id": in_hand.delivery.message_id}
        logger.log(level, "%s; the task stays unacknowledged", text, extra={"fields": fields})
        self._health.hold(in_hand.key, text, lasting=lasting)
        delay = full_jitter(failures, base=0.5, cap=COPY_WAIT_SECONDS) + LASTING_WAIT_SECONDS * lasting
        self._holder.hold(in_hand.delivery, delay, also_when_stopping=not lasting)
        if lasting and self._holder.stopping:
            raise MustHandBack(text)


def _lasts(error: BrokerError, failures: int) -> bool:
    """True when only a person can end it; a queue that a worker may make is made by its next connection."""
    return isinstance(error, AccessRefused | MessageRefused) or (isinstance(error, QueueMissing) and failures > 1)


def _returned(delivery: Delivery) -> str:
    times = returns(delivery)
    if times < FRESH_COPY_AT:
        return ""
    return f"; it was returned {times} times, and RabbitMQ 4 deletes a task at return {DELIVERY_LIMIT + 1} by default"


def _description(in_hand: InHand, copy: Copy) -> str:
    return f"task {in_hand.delivery.message_id}: its copy to queue {copy.queue!r}"
