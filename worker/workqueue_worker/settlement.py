"""What happens to a delivery: the rules for retry, attempts and dead letter. Pure: no clock, no broker.

Two questions in the life of a delivery: may it run (on_arrival), and what becomes of it (after). Both answers are
values; the runner carries them out.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from workqueue_broker import headers as header
from workqueue_broker.backoff import full_jitter

from workqueue_worker.delivery import Delivery

#: What the broker counts for one copy in a quorum queue. RabbitMQ 3.10 to 4.2: how often it was returned. Since 4.3:
#: how often it was returned as failed or lost with its worker; missing until the first time.
FAILED_COUNT = "x-delivery-count"
#: Since RabbitMQ 4.3, on every redelivery: how often it was taken, also by a worker that handed it back politely.
TAKEN_COUNT = "x-acquired-count"
#: At the return after so many a quorum queue of RabbitMQ 4 deletes a message, by default. Seen with 4.0.
DELIVERY_LIMIT = 20
#: Well before the delivery limit. A copy starts at zero again.
FRESH_COPY_AT = 10
#: No header counts for more: one more than a producer's largest number would be no number that AMQP can carry.
HIGHEST_COUNT = 1_000_000
#: So often only if the queue refuses a fresh copy: it is full.
LAST_COUNT = 18
#: Characters of an error that a dead letter keeps while it waits.
_DETAIL_LENGTH = 500


class FailureReason(StrEnum):
    """Why an attempt failed; bounded, since it is a metric's label."""

    EXCEPTION = "exception"
    EXIT_CODE = "exit_code"
    TIMEOUT = "timeout"
    REJECTED = "rejected"
    #: The worker died with the task, or lost its connection; seen when the message comes back.
    CRASHED = "crashed"


class DeadLetterReason(StrEnum):
    """Why a task is dead-lettered."""

    REJECTED = "rejected"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    #: The attempts were used up by workers that died before they could report a result.
    CRASHED = "crashed"


class RequeueCause(StrEnum):
    """Why a delivery went back to the queue."""

    RETRY = "retry"
    SHUTDOWN = "shutdown"
    #: A copy that counts an attempt which the broker does not count.
    CRASH = "crash"
    #: A dead letter that its queue did not take, and that waits in the task's own queue.
    DEAD_LETTER = "dead_letter"
    #: Received, not yet started when the connection was lost; the broker requeues it.
    CONNECTION = "connection"


class Done(StrEnum):
    """The work of a delivery is done."""

    DONE = "done"


#: How a delivery ends. Each is counted in one series.
Ending = Done | RequeueCause | DeadLetterReason


@dataclass(frozen=True, slots=True)
class Finished:
    """The handler did its work."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed; another may succeed."""

    reason: FailureReason
    #: In one line, for the log and the dead letter.
    detail: str
    #: Seconds that the handler asked to wait; None: the worker's backoff.
    delay: float | None = None
    #: Of the exception, for the log; empty when there is none.
    traceback: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The handler raised Reject: no attempt can succeed."""

    detail: str
    #: As that of Failed.
    traceback: str = field(default="", compare=False)


Outcome = Finished | Failed | Rejected


@dataclass(frozen=True, slots=True)
class Ack:
    """The work is done: the message may go."""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """After the wait: a copy with one attempt more to the same queue, confirmed; then ack."""

    delay_seconds: float


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """A copy to the dead-letter queue, confirmed; then ack."""

    reason: DeadLetterReason
    detail: str


@dataclass(frozen=True, slots=True)
class CountAgain:
    """A counted copy first, as this queue does not count, or not for long: then ack, and the copy will run."""

    #: The broker counts this delivery, so that it may run also when no copy can be made.
    counted_by_broker: bool


@dataclass(frozen=True, slots=True)
class Run:
    """Give it to the handler."""


Arrival = Run | Ack | CountAgain | DeadLettered
Settlement = Ack | RetryLater | DeadLettered


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again."""

    max_attempts: int = 5
    #: Seconds; no failed task is held longer than this before its retry.
    max_delay: float = 30.0
    #: Seconds; the bound of the first wait, doubled with each attempt.
    base_delay: float = 1.0


def attempts_before(delivery: Delivery) -> int:
    """How many attempts were made at this task: those before this copy, and those that the broker saw with this copy.

    A redelivered message without a count of the broker's is one of a classic queue: one attempt at least. With the
    count of takings alone it was handed back and never failed. A task that a person moved back starts from zero.
    """
    headers = delivery.headers
    before_this_copy = 0 if was_moved_back(headers) else _count(headers, header.ATTEMPTS)
    if not delivery.redelivered or waits(headers):
        return before_this_copy
    if FAILED_COUNT not in headers and TAKEN_COUNT in headers:
        return before_this_copy
    return before_this_copy + max(1, _count(headers, FAILED_COUNT))


def waits(headers: Mapping[str, object]) -> bool:
    """True for a dead letter that a worker left in the task's own queue, because it could not be published."""
    return headers.get(header.WAITS) is True


def was_moved_back(headers: Mapping[str, object]) -> bool:
    """True for a dead letter that a person moved from the dead-letter queue to the task's own queue."""
    return header.REASON in headers and not waits(headers)


def returns(delivery: Delivery) -> int:
    """How often the broker counts this copy as returned. Its counts on a first delivery are of another queue."""
    return _count(delivery.headers, FAILED_COUNT) if delivery.redelivered else 0


def nears_the_limit(delivery: Delivery) -> bool:
    """True when a copy must take this message's place soon, or RabbitMQ 4 deletes it after further returns.

    Where headers cannot be read, the broker's count may be among them, so one return is enough.
    """
    return (delivery.redelivered and not delivery.readable) or returns(delivery) >= FRESH_COPY_AT


def on_arrival(
    delivery: Delivery, before: int, policy: RetryPolicy, done_before: Callable[[Delivery], bool]
) -> Arrival:
    """Whether this delivery may run. `before`: its attempts_before.

    `done_before`: whether this worker finished the task and its ack was lost; asked only when the task came before.
    """
    headers = delivery.headers
    if waits(headers):
        return _waiting(headers)
    if (delivery.redelivered or before > 0) and done_before(delivery):
        return Ack()
    if not delivery.readable:
        return DeadLettered(
            DeadLetterReason.REJECTED, "its headers cannot be read: they hold a field of an unknown type"
        )
    returned = returns(delivery)
    if returned >= LAST_COUNT or before >= policy.max_attempts:
        detail = f"{before} attempts ended without a result: the worker died or was cut off"
        return DeadLettered(DeadLetterReason.CRASHED, detail)
    counted_by_broker = FAILED_COUNT in headers or TAKEN_COUNT in headers
    if returned >= FRESH_COPY_AT or (delivery.redelivered and not counted_by_broker):
        return CountAgain(counted_by_broker)
    return Run()


def after(
    outcome: Outcome, attempts: int, policy: RetryPolicy, uniform: Callable[[float, float], float] = random.uniform
) -> Settlement:
    """What becomes of a delivery after attempt number `attempts` (1 is the first)."""
    if isinstance(outcome, Finished):
        return Ack()
    if isinstance(outcome, Rejected):
        return DeadLettered(DeadLetterReason.REJECTED, outcome.detail)
    if attempts >= policy.max_attempts:
        return DeadLettered(DeadLetterReason.ATTEMPTS_EXHAUSTED, outcome.detail)
    if outcome.delay is not None:
        return RetryLater(min(max(0.0, outcome.delay), policy.max_delay))
    return RetryLater(full_jitter(attempts, base=policy.base_delay, cap=policy.max_delay, uniform=uniform))


def _waiting(headers: Mapping[str, object]) -> DeadLettered:
    """What the worker that left the dead letter here had decided; a producer may have written anything there."""
    reason = next((one for one in DeadLetterReason if one == headers.get(header.REASON)), DeadLetterReason.REJECTED)
    return DeadLettered(reason, str(headers.get(header.ERROR, ""))[:_DETAIL_LENGTH])


def _count(headers: Mapping[str, object], name: str) -> int:
    """A header as a count; anything that is no whole positive number, as a foreign producer may send, counts as 0."""
    value = headers.get(name)
    return min(value, HIGHEST_COUNT) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
