"""`dead-letters list|replay|drop`: looking after the parked tasks, one by one, so that a crash loses none.

Listing returns what it looked at, and RabbitMQ 4 deletes a message of a quorum queue that was returned 20 times. So a
task that was returned often is replaced by a confirmed copy of itself, which starts at zero.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from workqueue_broker import headers as header

from workqueue_worker.delivery import Delivery
from workqueue_worker.progress import Progress

#: Returns after which a listed task is replaced by a copy; the broker's limit is 20, and a crash may add some.
RETURNED_OFTEN = 10
COLUMNS = ("id", "reason", "attempts", "last time", "worker", "queue", "bytes", "error")


class Parked(Protocol):
    """A dead-letter queue: amqp.ParkedTasks."""

    count: int

    def take(self) -> Delivery | None: ...
    def publish(self, delivery: Delivery, queue: str, *, as_new: bool) -> None: ...
    def remove(self, delivery: Delivery) -> None: ...
    def put_back(self, delivery: Delivery) -> None: ...


@dataclass(frozen=True)
class Selection:
    """Which parked tasks."""

    #: Message ids; empty: all.
    ids: frozenset[str] = frozenset()
    #: How many at most; None: all that are there at the start.
    limit: int | None = None

    def __contains__(self, delivery: Delivery) -> bool:
        return not self.ids or delivery.message_id in self.ids


def list_tasks(parked: Parked, dead_letter_queue: str, selection: Selection, write: Callable[[str], object]) -> int:
    """Print a line for each, tab-separated; returns how many."""
    write("\t".join(COLUMNS) + "\n")
    seen = []
    for delivery in _taken(parked, selection):
        seen.append(delivery)
        if delivery in selection:
            write("\t".join(_cells(delivery)) + "\n")
    for delivery in seen:
        if _returns(delivery.headers) >= RETURNED_OFTEN:
            parked.publish(delivery, dead_letter_queue, as_new=False)
            parked.remove(delivery)
        else:
            parked.put_back(delivery)
    return sum(delivery in selection for delivery in seen)


def replay_tasks(parked: Parked, queue: str, selection: Selection) -> int:
    """Send each back to the queue it came from (`queue`, when it does not say), confirmed, then take it out."""

    def replay(delivery: Delivery) -> None:
        parked.publish(delivery, origin(delivery.headers) or queue, as_new=True)
        parked.remove(delivery)

    return _each(parked, selection, "replay", replay)


def drop_tasks(parked: Parked, selection: Selection) -> int:
    """Delete each for good."""
    return _each(parked, selection, "drop", parked.remove)


def origin(headers: Mapping[str, object]) -> str | None:
    """The queue that a parked task came from, as a worker or the broker wrote it."""
    ours = headers.get(header.QUEUE)
    name = ours or headers.get("x-first-death-queue")
    return name if isinstance(name, str) else None


def _each(parked: Parked, selection: Selection, what: str, act: Callable[[Delivery], None]) -> int:
    total = min(parked.count, selection.limit or parked.count)
    progress = Progress(what, len(selection.ids) or total, sys.stderr)
    done, passed = 0, []
    try:
        for delivery in _taken(parked, selection):
            if delivery in selection:
                act(delivery)
                done += 1
                progress.step()
            else:
                passed.append(delivery)  # in hand until the end, or it would come again
    finally:
        progress.end()
    for delivery in passed:
        parked.put_back(delivery)
    return done


def _taken(parked: Parked, selection: Selection) -> Iterator[Delivery]:
    """What is there at the start, and not what comes meanwhile: a replayed task may fail again at once."""
    limit = parked.count if selection.ids or selection.limit is None else min(selection.limit, parked.count)
    for _ in range(limit):
        delivery = parked.take()
        if delivery is None:
            return
        yield delivery


def _cells(delivery: Delivery) -> Collection[str]:
    headers = delivery.headers
    values = (
        delivery.message_id,
        headers.get(header.REASON) or headers.get("x-first-death-reason"),
        headers.get(header.ATTEMPTS),
        headers.get(header.LAST_TIME),
        headers.get(header.WORKER),
        origin(headers),
        len(delivery.body),
        headers.get(header.ERROR),
    )
    return ["-" if value is None else " ".join(str(value).split()) for value in values]


def _returns(headers: Mapping[str, object]) -> int:
    counts = [headers.get("x-delivery-count"), headers.get("x-acquired-count")]
    return max((count for count in counts if isinstance(count, int)), default=0)
