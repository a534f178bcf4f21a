"""Looking after parked tasks: who is taken, who is renewed first, and what is said when it ends halfway."""

from collections import deque

import pytest
from workqueue_broker.errors import BrokerUnavailable
from workqueue_worker.dead_letters import Halfway, Selection, drop_tasks, list_tasks, replay_tasks
from workqueue_worker.delivery import Delivery
from workqueue_worker.settlement import FRESH_COPY_AT


class Parked:
    """A dead-letter queue in memory; counts what is taken, and fails after `good` settlements."""

    def __init__(self, *ids: str, returned: int = 0, good: int = 1000) -> None:
        self.queue = deque((name, returned) for name in ids)
        self.in_hand: dict[int, tuple[str, int]] = {}
        self.count = len(ids)
        self.taken = 0
        self.published: list[tuple[str, str]] = []
        self._good = good

    @property
    def ids(self) -> list[str]:
        return [name for name, _ in self.queue]

    def take(self) -> Delivery | None:
        if not self.queue:
            return None
        self.taken += 1
        name, returned = self.in_hand[self.taken] = self.queue.popleft()
        headers = {"x-delivery-count": returned} if returned else {}
        return Delivery(0, self.taken, returned > 0, b"", headers, name, None, None, None)

    def publish(self, delivery: Delivery, queue: str, *, as_new: bool) -> None:
        if len(self.published) == self._good:
            raise BrokerUnavailable("gone")
        self.published.append((queue, delivery.message_id or ""))

    def remove(self, delivery: Delivery) -> None:
        del self.in_hand[delivery.delivery_tag]

    def renew(self, delivery: Delivery) -> None:
        name, _ = self.in_hand.pop(delivery.delivery_tag)
        self.queue.append((name, 0))

    def put_back(self) -> None:
        self.queue.extendleft((name, returned + 1) for name, returned in reversed(self.in_hand.values()))
        self.in_hand.clear()


def listed(parked: Parked, selection: Selection) -> list[str]:
    lines: list[str] = []
    list_tasks(parked, selection, lines.append)
    return [line.split("\t")[0] for line in lines[1:]]


def test_chosen_ids_are_looked_for_no_further_than_they_are_found() -> None:
    parked = Parked(*"abcdef")
    assert replay_tasks(parked, "q", Selection(frozenset("bc"))) == 2
    assert (parked.taken, parked.ids) == (3, ["a", "d", "e", "f"])


def test_a_limit_holds_beside_ids_and_for_a_list() -> None:
    assert drop_tasks(Parked(*"abc"), Selection(frozenset("abc"), limit=1)) == 1
    parked = Parked(*"abc")
    assert listed(parked, Selection(frozenset("bc"), limit=1)) == ["b"]
    assert parked.ids == ["a", "b", "c"]


@pytest.mark.parametrize("returned", [FRESH_COPY_AT, 19])
def test_what_came_back_often_is_renewed_before_anybody_looks_at_it(returned: int) -> None:
    """Each is then seen once, as a copy that nobody has returned yet."""
    parked = Parked(*"abc", returned=returned)
    assert listed(parked, Selection()) == ["a", "b", "c"]
    assert list(parked.queue) == [("a", 1), ("b", 1), ("c", 1)]


def test_what_comes_meanwhile_is_not_replayed() -> None:
    """It may be one that was replayed just now, and has failed again."""
    parked = Parked("a", "b")
    parked.queue.append(("new", 0))
    assert replay_tasks(parked, "q", Selection()) == 2
    assert parked.ids == ["new"]


def test_a_failure_halfway_says_how_many_were_done_and_returns_the_rest() -> None:
    parked = Parked(*"abc", good=2)
    with pytest.raises(Halfway, match=r"^replayed 2, then: gone$"):
        replay_tasks(parked, "q", Selection())
    assert parked.ids == ["c"]


def test_a_list_that_cannot_be_written_returns_what_it_took() -> None:
    parked = Parked(*"abc")

    def write(text: str) -> None:
        if text.startswith("b"):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        list_tasks(parked, Selection(), write)
    assert parked.ids == ["a", "b", "c"]
