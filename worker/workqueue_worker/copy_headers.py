"""The headers that a copy of a task carries: how often it was tried and, when it is parked, why. Pure."""

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


def for_retry(headers: Mapping[str, object], attempts: Attempts) -> dict[str, object]:
    """The headers to add to a copy that goes to the same queue."""
    return {header.ATTEMPTS: attempts.count, header.FIRST_TIME: _first_time(headers, attempts)}


def for_parking(headers: Mapping[str, object], attempts: Attempts, park: Park, queue: str) -> dict[str, object]:
    """The headers to add to a copy that goes to the dead-letter queue."""
    return {
        header.ATTEMPTS: attempts.count,
        header.REASON: park.reason.value,
        header.ERROR: park.detail,
        header.WORKER: attempts.worker,
        header.FIRST_TIME: _first_time(headers, attempts),
        header.LAST_TIME: attempts.now.isoformat(timespec="milliseconds"),
        header.QUEUE: queue,
    }


def _first_time(headers: Mapping[str, object], attempts: Attempts) -> str:
    before = headers.get(header.FIRST_TIME)
    return before if isinstance(before, str) else attempts.now.isoformat(timespec="milliseconds")
