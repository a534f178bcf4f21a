"""A dead-letter queue in memory, for the rules of listing, replaying and dropping."""

from collections import deque
from collections.abc import Mapping

from workqueue_broker.errors import BrokerUnavailable
from workqueue_worker.delivery import Delivery


class DeadLetters:
    """A dead-letter queue in memory; counts what is taken, and fails after `good` settlements."""

    def __init__(self, *ids: str, returned: int = 0, good: int = 1000) -> None:
        self.queue = deque((name, returned) for name in ids)
        self.in_hand: dict[int, tuple[str, int]] = {}
        self.count = len(ids)
        self.taken = 0
        self.published: list[tuple[str, str]] = []
        #: Headers of the tasks with these ids.
        self.headers: dict[str, dict[str, object]] = {}
        #: Ids of tasks whose headers cannot be read, with the broker's count among them.
        self.unreadable: set[str] = set()
        self._good = good

    @property
    def ids(self) -> list[str]:
        return [name for name, _ in self.queue]

    def take(self) -> Delivery | None:
        if not self.queue:
            return None
        self.taken += 1
        name, returned = self.in_hand[self.taken] = self.queue.popleft()
        if name in self.unreadable:
            return Delivery(0, self.taken, returned > 0, b"", {}, name, None, None, None, unread_headers=b"?")
        headers = self.headers.get(name, {}) | ({"x-delivery-count": returned} if returned else {})
        return Delivery(0, self.taken, returned > 0, b"", headers, name, None, None, None)

    def properties(self, delivery: Delivery) -> Mapping[str, object]:
        return {"correlation_id": f"c-{delivery.message_id}"}

    def publish(self, delivery: Delivery, queue: str, *, as_new: bool) -> None:
        if len(self.published) == self._good:
            raise BrokerUnavailable("gone")
        self.published.append((queue, delivery.message_id or ""))

    def remove(self, delivery: Delivery) -> None:
        del self.in_hand[delivery.delivery_tag]

    def renew(self, delivery: Delivery) -> None:
        name, _ = self.in_hand.pop(delivery.delivery_tag)
        self.unreadable.discard(name)
        self.queue.append((name, 0))

    def put_back(self) -> None:
        self.queue.extendleft((name, returned + 1) for name, returned in reversed(self.in_hand.values()))
        self.in_hand.clear()
