"""`dead-letters list|replay|drop`: takes dead-lettered tasks one by one, so that a crash loses none.

To look at a task means to take and return it, and RabbitMQ 4 deletes a message of a quorum queue that was returned 20
times. So a task that was returned often is first replaced by a confirmed copy of itself, which starts at zero.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from workqueue_broker.errors import BrokerError

from workqueue_worker.dead_letter import COLUMNS, DeadLetter, plain
from workqueue_worker.delivery import Delivery
from workqueue_worker.progress import Progress
from workqueue_worker.settlement import nears_the_limit


class DeadLetters(Protocol):
    """A dead-letter queue: amqp.DeadLetterQueue."""

    count: int

    def take(self) -> Delivery | None: ...
    def properties(self, delivery: Delivery) -> Mapping[str, object]: ...
    def publish(self, delivery: Delivery, queue: str, *, as_new: bool) -> None: ...
    def remove(self, delivery: Delivery) -> None: ...
    def renew(self, delivery: Delivery) -> None: ...
    def put_back(self) -> None: ...


class PartlyDone(BrokerError):
    """The command failed or was interrupted after some tasks, or left some; the message has the numbers."""


class NoSuchTask(BrokerError, LookupError):
    """No dead-lettered task has this id; the message names it."""


@dataclass(frozen=True)
class Selection:
    """Which dead-lettered tasks."""

    #: Keys of dead-lettered tasks, the first task of each; empty: all.
    ids: frozenset[str] = frozenset()
    #: How many at most; None: all that the queue has at the start.
    limit: int | None = None

    def at_most(self, there: int) -> int:
        """How many it can be, of `there` tasks in the queue."""
        return min(there, len(self.ids) or there, there if self.limit is None else self.limit)


#: What writes a text; its answer False means that the reader has left.
Write = Callable[[str], object]


def list_tasks(dead_letters: DeadLetters, selection: Selection, write: Write, *, show: bool = False) -> int:
    """Print a tab-separated line for each, with `show` also its properties, headers and body; returns how many."""
    write("\t".join(COLUMNS) + "\n")

    def lines(task: DeadLetter) -> str:
        return "\n".join([task.row(), *(task.details() if show else ())]) + "\n"

    return _print_each(dead_letters, selection, write, lines)


def list_as_json(dead_letters: DeadLetters, selection: Selection, write: Write) -> int:
    """Print all of each task as one JSON object a line; returns how many."""
    return _print_each(dead_letters, selection, write, lambda task: f"{task.as_json()}\n")


def _print_each(
    dead_letters: DeadLetters, selection: Selection, write: Write, lines: Callable[[DeadLetter], str]
) -> int:
    done = 0
    try:
        for task in _taken(dead_letters, selection):
            done += 1
            if write(lines(task)) is False:
                break
    finally:
        dead_letters.put_back()
    return done


def replay_tasks(dead_letters: DeadLetters, queue: str, selection: Selection, *, any_origin: bool = False) -> int:
    """Send each to the queue, confirmed, then take it out; returns how many, or raises PartlyDone with the number.

    A task whose headers name another queue stays, unless `any_origin`: its sender must not choose where it goes.
    """
    left = Counter[str]()

    def replay(task: DeadLetter) -> bool:
        if not any_origin and task.origin not in (None, queue):
            left[plain(task.origin)] += 1
            return False
        dead_letters.publish(task.delivery, queue, as_new=True)
        dead_letters.remove(task.delivery)
        return True

    done = _each(dead_letters, selection, ("replay", "replayed"), replay)
    if left:
        names = ", ".join(f"{name} ({count})" for name, count in sorted(left.items()))
        raise PartlyDone(
            f"replayed {done}; left {left.total()} that name another queue: {names}. Replay them with --queue and "
            f"--dead-letter-queue, or to {queue} with --any-origin"
        )
    return done


def drop_tasks(dead_letters: DeadLetters, selection: Selection) -> int:
    """Delete each for good; returns how many, or raises PartlyDone."""

    def drop(task: DeadLetter) -> bool:
        dead_letters.remove(task.delivery)
        return True

    return _each(dead_letters, selection, ("drop", "dropped"), drop)


def _each(
    dead_letters: DeadLetters, selection: Selection, words: tuple[str, str], act: Callable[[DeadLetter], bool]
) -> int:
    present, past = words
    progress = Progress(present, selection.at_most(dead_letters.count), sys.stderr)
    done = 0
    try:
        for task in _taken(dead_letters, selection):
            done += act(task)
            progress.step()
        dead_letters.put_back()
    except (BrokerError, KeyboardInterrupt) as error:
        with suppress(BrokerError):  # the connection may be what failed; then the broker puts it back
            dead_letters.put_back()
        raise PartlyDone(f"{past} {done}, then: {str(error) or 'interrupted'}") from error
    finally:
        progress.end()
    return done


def _taken(dead_letters: DeadLetters, selection: Selection) -> Iterator[DeadLetter]:
    """The selected ones of what is there at the start, and not what comes later: a replayed task may fail again.

    The others stay in hand until the end, or they would come again; the broker holds them, we do not. Raises NoSuchTask
    after the others when an id was not there.
    """
    missing = {plain(name) for name in selection.ids}
    left, found = dead_letters.count, 0
    while left > 0 and found != selection.limit and (missing or not selection.ids):
        delivery = dead_letters.take()
        if delivery is None:
            break
        if nears_the_limit(delivery):
            dead_letters.renew(delivery)  # comes again, after all others
            continue
        left -= 1
        task = DeadLetter(delivery, dead_letters.properties(delivery))
        if not selection.ids or task.key in missing:
            missing.discard(task.key)
            found += 1
            yield task
    if missing and found != selection.limit:
        raise NoSuchTask(f"no task with id {', '.join(sorted(missing))} is there; `list` prints the ids")
