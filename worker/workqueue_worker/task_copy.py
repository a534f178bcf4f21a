"""The copies of a task: their queue, their headers (attempts, reason of a dead letter), and what they carry. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from typing import TypeGuard

from workqueue_broker import headers as header

from workqueue_worker.settlement import DeadLettered, waits, was_moved_back

#: Characters of a date and time, "2026-01-01T12:00:00.000+00:00", and some to spare.
_TIME_LENGTH = 40
#: Bytes at most of a worker's name, which is a host's, and of a list of headers.
_NAME_LENGTH, _LIST_LENGTH = 255, 1000


@dataclass(frozen=True, slots=True)
class Attempts:
    """What is known of a task's attempts when a copy is made."""

    #: How many were made, with the last one.
    count: int
    #: Who made the last one.
    worker: str
    now: datetime


class Carried(Enum):
    """How much of the original a copy carries beside its body."""

    #: All headers and properties, or no copy is published.
    WHOLE = auto()
    #: All properties, and the headers; the largest headers are left out when a frame cannot hold all of them.
    WHAT_FITS = auto()
    #: No header, and the properties that say what the message is: id, time, content type and encoding.
    BARE = auto()


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy to be published: the original's body, what it carries of its properties and headers, and `headers`."""

    queue: str
    #: In place of whatever a worker wrote on the original.
    headers: Mapping[str, object]
    carried: Carried

    def barer(self) -> "Copy | None":
        """The form to try when the broker refuses this one for what it is; None: there is no other."""
        return replace(self, carried=Carried.BARE) if self.carried is Carried.WHAT_FITS else None


def for_retry(headers: Mapping[str, object], attempts: Attempts, queue: str) -> Copy:
    """The copy that goes to the same queue: a handler gets each attempt with all headers."""
    added = {header.ATTEMPTS: attempts.count, header.FIRST_TIME: _first_time(headers, attempts)}
    return Copy(queue, added, Carried.WHOLE)


def for_dead_letter(
    headers: Mapping[str, object], attempts: Attempts, verdict: DeadLettered, queue: str, dead_letter_queue: str
) -> Copy:
    """The copy that goes from `queue` to the dead-letter queue."""
    added = {
        header.ATTEMPTS: attempts.count,
        header.REASON: verdict.reason.value,
        header.ERROR: verdict.detail,
        header.WORKER: attempts.worker,
        header.FIRST_TIME: _first_time(headers, attempts),
        header.LAST_TIME: _text(attempts.now),
        header.QUEUE: queue,
    }
    return Copy(dead_letter_queue, {**added, **_kept_while_waiting(headers)}, Carried.WHAT_FITS)


def for_waiting(dead_letter: Copy, queue: str) -> Copy:
    """The same dead letter, to wait in the task's own queue until it can be published where it belongs."""
    return replace(dead_letter, queue=queue, headers={**dead_letter.headers, header.WAITS: True})


def _kept_while_waiting(headers: Mapping[str, object]) -> Mapping[str, object]:
    """The headers of a dead letter that waited about its last attempt and about the headers that it lost."""
    if not waits(headers):
        return {}
    lengths = {header.WORKER: _NAME_LENGTH, header.LAST_TIME: _TIME_LENGTH, header.LEFT_OUT: _LIST_LENGTH}
    found = ((name, headers.get(name), length) for name, length in lengths.items())
    return {name: value for name, value, length in found if isinstance(value, str) and len(value.encode()) <= length}


def _first_time(headers: Mapping[str, object], attempts: Attempts) -> str:
    before = headers.get(header.FIRST_TIME)
    return before if _is_time(before) and not was_moved_back(headers) else _text(attempts.now)


def _is_time(value: object) -> TypeGuard[str]:
    """Whether a worker may have written it; a producer's could be so long that no frame holds it."""
    return isinstance(value, str) and len(value) <= _TIME_LENGTH


def _text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")
