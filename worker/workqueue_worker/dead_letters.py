"""`dead-letters list|replay|drop`: looking after the parked tasks, one by one, so that a crash loses none.

Looking means taking and returning, and RabbitMQ 4 deletes a message of a quorum queue that was returned 20 times. So a
task that was returned often is first replaced by a confirmed copy of itself, which starts at zero.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from workqueue_broker import headers as header
from workqueue_broker.errors import BrokerError

from workqueue_worker.delivery import Delivery
from workqueue_worker.progress import Progress
from workqueue_worker.settlement import FRESH_COPY_AT, returns

COLUMNS = ("id", "reason", "attempts", "last time", "worker", "queue", "bytes", "error")


class Parked(Protocol):
    """A dead-letter queue: amqp.ParkedTasks."""

    count: int

    def take(self) -> Delivery | None: ...
    def publish(self, delivery: Delivery, queue: str, *, as_new: bool) -> None: ...
    def remove(self, delivery: Delivery) -> None: ...
    def renew(self, delivery: Delivery) -> None: ...
    def put_back(self) -> None: ...


class Halfway(BrokerError):
    """It failed or was interrupted after some; the message says how many."""


@dataclass(frozen=True)
class Selection:
    """Which parked tasks."""

    #: Message ids, the first task of each; empty: all.
    ids: frozenset[str] = frozenset()
    #: How many at most; None: all that are there at the start.
    limit: int | None = None

    def at_most(self, there: int) -> int:
        """How many of those that are there it can be."""
        return min(there, len(self.ids) or there, there if self.limit is None else self.limit)


def list_tasks(parked: Parked, selection: Selection, write: Callable[[str], object]) -> int:
    """Print a line for each, tab-separated; returns how many."""
    write("\t".join(COLUMNS) + "\n")
    done = 0
    try:
        for delivery in _taken(parked, selection):
            write("\t".join(_cells(delivery)) + "\n")
            done += 1
    finally:
        parked.put_back()
    return done


def replay_tasks(parked: Parked, queue: str, selection: Selection) -> int:
    """Send each back to the queue it came from (`queue`, when it does not say), confirmed, then take it out.

    Returns how many; raises Halfway, which says it too.
    """

    def replay(delivery: Delivery) -> None:
        parked.publish(delivery, origin(delivery.headers) or queue, as_new=True)
        parked.remove(delivery)

    return _each(parked, selection, ("replay", "replayed"), replay)


def drop_tasks(parked: Parked, selection: Selection) -> int:
    """Delete each for good; returns how many, raises Halfway."""
    return _each(parked, selection, ("drop", "dropped"), parked.remove)


def origin(headers: Mapping[str, object]) -> str | None:
    """The queue that a parked task came from, as a worker or the broker wrote it."""
    ours = headers.get(header.QUEUE)
    name = ours or headers.get("x-first-death-queue")
    return name if isinstance(name, str) else None


def _each(parked: Parked, selection: Selection, words: tuple[str, str], act: Callable[[Delivery], None]) -> int:
    present, past = words
    progress = Progress(present, selection.at_most(parked.count), sys.stderr)
    done = 0
    try:
        for delivery in _taken(parked, selection):
            act(delivery)
            done += 1
            progress.step()
        parked.put_back()
    except (BrokerError, KeyboardInterrupt) as error:
        with suppress(BrokerError):  # the connection may be what failed; then the broker puts it back
            parked.put_back()
        raise Halfway(f"{past} {done}, then: {str(error) or 'interrupted'}") from error
    finally:
        progress.end()
    return done


def _taken(parked: Parked, selection: Selection) -> Iterator[Delivery]:
    """The selected ones of what is there at the start, and not what comes meanwhile: a replayed task may fail again.

    The others stay in hand until the end, or they would come again; the broker holds them, we do not.
    """
    missing = set(selection.ids)
    left, found = parked.count, 0
    while left > 0 and found != selection.limit and (missing or not selection.ids):
        delivery = parked.take()
        if delivery is None:
            return
        if returns(delivery.headers, redelivered=delivery.redelivered) >= FRESH_COPY_AT:
            parked.renew(delivery)  # comes again, after all others
            continue
        left -= 1
        if not selection.ids or delivery.message_id in missing:
            missing.discard(delivery.message_id or "")
            found += 1
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
