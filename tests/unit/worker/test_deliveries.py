"""The bookkeeping of deliveries without threads: whatever happens, each is counted once, and none is forgotten."""

import itertools
from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from workqueue_worker.deliveries import Deliveries
from workqueue_worker.delivery import Delivery
from workqueue_worker.in_hand import InHand
from workqueue_worker.result import Action, Result
from workqueue_worker.settlement import Done


def delivery(epoch: int, tag: int) -> Delivery:
    return Delivery(epoch, tag, False, b"", {}, f"m{epoch}.{tag}", None, None, None)


def done(in_hand: InHand) -> Result:
    return Result(in_hand, Action.ACK, Done.DONE, "done")


def taken(deliveries: Deliveries) -> InHand:
    in_hand, _ = deliveries.take()
    assert in_hand is not None
    return in_hand


class Accounting(RuleBasedStateMachine):
    """Calls in any order, as the consumer's threads make them; `ended` is what its metrics would count."""

    THREADS = 2

    def __init__(self) -> None:
        super().__init__()
        self.deliveries = Deliveries(self.THREADS)
        self.epoch: int | None = None
        self.epochs = itertools.count(1)
        self.tags = itertools.count(1)
        self.received = 0
        self.ended: Counter[str] = Counter()
        #: In the tasks' threads, and what they have finished.
        self.working: list[InHand] = []
        self.finished: set[tuple[int, int]] = set()
        self.settled: Counter[tuple[int, int]] = Counter()
        self.sent: list[Result] = []

    @precondition(lambda self: self.epoch is None)
    @rule()
    def connects(self) -> None:
        self.epoch = next(self.epochs)
        self.deliveries.connected(self.epoch)

    @precondition(lambda self: self.epoch is not None)
    @rule(count=st.integers(1, 3))
    def receives(self, count: int) -> None:
        assert self.epoch is not None
        for _ in range(count):
            self.deliveries.received(delivery(self.epoch, next(self.tags)))
            self.received += 1

    @rule()
    def takes(self) -> None:
        in_hand, requeued = self.deliveries.take()
        self.ended["requeued"] += requeued
        if in_hand:
            assert in_hand.delivery.epoch == self.epoch
            assert in_hand not in self.working
            self.working.append(in_hand)

    @precondition(lambda self: self.working)
    @rule(which=st.integers(0))
    def finishes(self, which: int) -> None:
        in_hand = self.working.pop(which % len(self.working))
        self.finished.add(in_hand.key)
        self.deliveries.finish(done(in_hand))

    @rule(fails=st.booleans())
    def settles(self, fails: bool) -> None:
        results = self.deliveries.due()
        if results and fails:
            self.loses_the_connection()
        for result in results:
            sent = not self.deliveries.is_stale(result.in_hand.delivery)
            assert sent == (result.in_hand.delivery.epoch == self.epoch)
            self.deliveries.settled(result, sent=sent)
            self.settled[result.in_hand.key] += 1
            self.ended["sent" if sent else "acks lost"] += 1
            if sent:
                self.sent.append(result)
        assert not self.deliveries.results

    @rule()
    def loses_the_connection(self) -> None:
        lost = self.deliveries.lost()
        assert lost.in_doubt == self.sent[-self.THREADS :]
        self.sent.clear()
        self.ended["requeued"] += lost.requeued
        self.epoch = None
        assert not self.deliveries.waiting

    @rule()
    def hands_back_the_excess(self) -> None:
        self._hand_back(self.deliveries.excess())

    @rule()
    def hands_back_everything(self) -> None:
        self._hand_back(self.deliveries.close())
        assert len(self.deliveries) == 0
        assert not self.deliveries.waiting

    def _hand_back(self, in_progress: list[InHand]) -> None:
        for in_hand in in_progress:
            assert self.deliveries.end(in_hand)
            assert not self.deliveries.end(in_hand), "only the first caller counts it"
            self.ended["handed back"] += 1

    @invariant()
    def received_is_what_has_ended_and_what_is_in_hand(self) -> None:
        assert self.received == sum(self.ended.values()) + len(self.deliveries)
        assert len(self.deliveries) == len(self.deliveries.in_progress())

    @invariant()
    def no_delivery_is_settled_twice_and_none_without_a_result(self) -> None:
        assert set(self.settled.values()) <= {1}
        assert set(self.settled) <= self.finished

    @invariant()
    def what_is_in_hand_waits_or_is_worked_on_or_has_a_result(self) -> None:
        in_hand = {in_hand.key for in_hand in self.deliveries.in_progress()}
        waiting = {in_hand.key for in_hand in self.deliveries.waiting}
        assert waiting <= in_hand
        assert in_hand <= waiting | {in_hand.key for in_hand in self.working} | self.finished


TestAccounting = Accounting.TestCase


def test_deliveries_are_taken_in_the_order_in_which_they_came() -> None:
    deliveries = Deliveries(2)
    deliveries.connected(1)
    for tag in (1, 2, 3):
        deliveries.received(delivery(1, tag))
    assert [taken(deliveries).delivery.delivery_tag for _ in range(3)] == [1, 2, 3]
    assert deliveries.take() == (None, 0)


def test_what_was_taken_before_the_connection_was_lost_is_due_and_stale() -> None:
    deliveries = Deliveries(1)
    deliveries.connected(1)
    deliveries.received(delivery(1, 1))
    in_hand = taken(deliveries)
    assert deliveries.lost() == ([], 0)
    deliveries.connected(2)
    deliveries.finish(done(in_hand))
    assert [result.in_hand for result in deliveries.due()] == [in_hand]
    assert deliveries.is_stale(in_hand.delivery)


def test_what_waited_when_its_connection_was_lost_is_not_taken_and_counted_as_requeued_once() -> None:
    """A thread may take it before lost() has come to it."""
    deliveries = Deliveries(2)
    deliveries.connected(1)
    deliveries.received(delivery(1, 1))
    deliveries.received(delivery(1, 2))
    deliveries.connected(2)
    assert deliveries.take() == (None, 2)
    assert deliveries.lost() == ([], 0)
    assert len(deliveries) == 0


def test_a_result_of_a_delivery_that_was_handed_back_is_not_due() -> None:
    deliveries = Deliveries(1)
    deliveries.connected(1)
    deliveries.received(delivery(1, 1))
    in_hand = taken(deliveries)
    assert deliveries.close() == [in_hand]
    assert deliveries.end(in_hand)
    deliveries.finish(done(in_hand))
    assert deliveries.due() == []


def test_the_excess_is_what_came_last_beyond_the_threads_and_never_what_a_thread_has() -> None:
    deliveries = Deliveries(2)
    deliveries.connected(1)
    for tag in (1, 2, 3, 4):
        deliveries.received(delivery(1, tag))
    taken(deliveries)
    assert [in_hand.delivery.delivery_tag for in_hand in deliveries.excess()] == [4, 3]
    for _ in range(2):
        deliveries.take()
    assert deliveries.excess() == []


def test_results_that_were_sent_last_are_in_doubt_when_the_connection_is_lost() -> None:
    deliveries = Deliveries(1)
    deliveries.connected(1)
    results = []
    for tag in (1, 2):
        deliveries.received(delivery(1, tag))
        results.append(done(taken(deliveries)))
        deliveries.settled(results[-1], sent=True)
    assert deliveries.lost() == ([results[1]], 0), "the broker gave out the second one as it had read the first"
    assert deliveries.lost() == ([], 0)
