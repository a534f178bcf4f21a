"""A broker and its links for the consumer's tests: in memory, at once, and as strict as the real one.

It notes every breach of the rules of a link: use by two threads at a time, a settlement that is not due.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from workqueue_broker.errors import BrokerUnavailable
from workqueue_worker.delivery import Delivery

#: Seconds after which a wait counts as one that no thread would have ended.
FORGOTTEN_SECONDS = 30.0


class FakeBroker:
    """Tasks are numbers; each link may have `prefetch` of them unsettled, and returns them when it is lost."""

    def __init__(self, tasks: int, prefetch: int, failures: float = 0.0, seed: int = 0) -> None:
        """`failures`: the probability with which an opening, a turn, or a flush fails."""
        self.ready = deque(range(tasks))
        self.prefetch = prefetch
        self.failures = failures
        self.random = Random(seed)
        #: How often each task was acked, and given out.
        self.acked: Counter[int] = Counter()
        self.given: Counter[int] = Counter()
        self.breaches: list[str] = []
        self.changed = threading.Condition()
        self.links: list[FakeLink] = []

    def open(self, epoch: int, on_delivery: Callable[[Delivery], None]) -> "FakeLink":
        self.fail_by_chance()
        link = FakeLink(self, epoch, on_delivery)
        self.links.append(link)
        return link

    def fail_by_chance(self) -> None:
        if self.random.random() < self.failures:
            raise BrokerUnavailable("by chance")


class FakeLink:
    """See link.Link."""

    def __init__(self, broker: FakeBroker, epoch: int, on_delivery: Callable[[Delivery], None]) -> None:
        self.epoch = epoch
        self.consuming = True
        self.lost = False
        self._broker = broker
        self._on_delivery = on_delivery
        self._unsettled: dict[int, int] = {}
        self._tags = 0
        self._joined: list[tuple[str, int]] = []
        self._woken = False
        self._used_by = 0
        self._waited_for_by = 0
        #: Called in each flush, before it is done.
        self.on_flush: Callable[[], None] = lambda: None

    def wait(self, seconds: float) -> None:
        """Takes no notice of the seconds: a consumer that needs them to go on would be a slow one."""
        self._waited_for_by += 1
        if self._waited_for_by > 1:
            self._breach("two threads wait")
        with self._broker.changed:
            if not self._broker.changed.wait_for(self._has_news, FORGOTTEN_SECONDS):
                self._breach("a wait was forgotten")
            self._woken = False
        self._waited_for_by -= 1

    def turn(self) -> None:
        with self._used():
            self._fail_by_chance()
            while self._may_give():
                self._give(self._broker.ready.popleft())

    def ack(self, delivery: Delivery) -> None:
        self._settle("ack", delivery)

    def hand_back(self, delivery: Delivery) -> None:
        self._settle("hand back", delivery)

    def return_failed(self, delivery: Delivery) -> None:
        self._settle("return", delivery)

    def flush(self) -> None:
        with self._used():
            self.on_flush()
            self._fail_by_chance()
            for what, tag in self._joined:
                self._carry_out(what, self._unsettled.pop(tag))
            self._joined.clear()
            with self._broker.changed:
                self._broker.changed.notify_all()

    def cancel(self) -> None:
        with self._used():
            self.consuming = False

    def consume(self) -> None:
        with self._used():
            self.consuming = True

    def wake(self) -> None:
        with self._broker.changed:
            self._woken = True
            self._broker.changed.notify_all()

    def close(self) -> None:
        self._lose()

    def _has_news(self) -> bool:
        return self._woken or self._may_give()

    def _may_give(self) -> bool:
        return (
            self.consuming
            and not self.lost
            and bool(self._broker.ready)
            and len(self._unsettled) < self._broker.prefetch
        )

    def _give(self, task: int) -> None:
        self._tags += 1
        self._unsettled[self._tags] = task
        self._broker.given[task] += 1
        redelivered = self._broker.given[task] > 1
        body = str(task).encode()
        self._on_delivery(Delivery(self.epoch, self._tags, redelivered, body, {}, f"m{task}", None, 1.0, None))

    def _settle(self, what: str, delivery: Delivery) -> None:
        with self._used():
            if self.lost or delivery.epoch != self.epoch:
                self._breach(f"{what} of epoch {delivery.epoch} over epoch {self.epoch}, lost: {self.lost}")
            due = self._unsettled.keys() - {tag for _, tag in self._joined}
            if delivery.delivery_tag not in due:
                self._breach(f"{what} of tag {delivery.delivery_tag}, which is settled")
            self._joined.append((what, delivery.delivery_tag))

    def _carry_out(self, what: str, task: int) -> None:
        if what == "ack":
            self._broker.acked[task] += 1
        else:
            self._broker.ready.append(task)

    def _fail_by_chance(self) -> None:
        try:
            self._broker.fail_by_chance()
        except BrokerUnavailable:
            self._lose()
            raise

    def _lose(self) -> None:
        with self._broker.changed:
            self.lost = True
            self._broker.ready.extend(self._unsettled.values())
            self._unsettled.clear()
            self._broker.changed.notify_all()

    def _breach(self, what: str) -> None:
        self._broker.breaches.append(what)

    @contextmanager
    def _used(self) -> Iterator[None]:
        self._used_by += 1
        if self._used_by > 1:
            self._breach("used by two threads")
        try:
            yield
        finally:
            self._used_by -= 1
