"""The copies of a task: where they go, and what they say: how often it was tried and, when it is parked, why. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from workqueue_broker import headers as header

from workqueue_worker.settlement import Park


@dataclass(frozen=True, slots=True)
class Attempts:
    """What is known of a task's attempts when a copy is made."""

    #: How many were made, with the last one.
    count: int
    #: Who made the last one.
    worker: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy to be published: the original's body and properties, and these."""

    queue: str
    #: In place of whatever a worker wrote on the original.
    headers: Mapping[str, object]
    #: False: the time to live that the producer gave is over; the copy is kept until somebody takes it.
    expires: bool


def for_retry(headers: Mapping[str, object], attempts: Attempts, queue: str) -> Copy:
    """The copy that goes to the same queue."""
    added = {header.ATTEMPTS: attempts.count, header.FIRST_TIME: _first_time(headers, attempts)}
    return Copy(queue, added, expires=True)


def for_parking(
    headers: Mapping[str, object], attempts: Attempts, park: Park, queue: str, dead_letter_queue: str
) -> Copy:
    """The copy that goes from `queue` to the dead-letter queue."""
    added = {
        header.ATTEMPTS: attempts.count,
        header.REASON: park.reason.value,
        header.ERROR: park.detail,
        header.WORKER: attempts.worker,
        header.FIRST_TIME: _first_time(headers, attempts),
        header.LAST_TIME: _text(attempts.now),
        header.QUEUE: queue,
    }
    return Copy(dead_letter_queue, added, expires=False)


def _first_time(headers: Mapping[str, object], attempts: Attempts) -> str:
    before = headers.get(header.FIRST_TIME)
    # With a reason it was parked, and somebody moved it back by hand: its attempts start anew.
    return before if isinstance(before, str) and header.REASON not in headers else _text(attempts.now)


def _text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")
