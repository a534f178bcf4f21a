"""The age of the first message, from totals: bounds that hold whatever comes, and what must stay unknown."""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_operator.rabbitmq.oldest_message import (
    LAG_SECONDS,
    MOST_POINTS,
    STALE_SECONDS,
    OldestMessage,
    QueueTotals,
)

PERIOD = 5.0


@dataclass
class Queue:
    """A queue whose broker's totals are `lag` seconds late, and the estimate of what it holds. A look every second."""

    oldest: OldestMessage = field(default_factory=OldestMessage)
    lag: float = 0.0
    now: float = 0.0
    #: When each message that waits was published, the first one first.
    waiting: deque[float] = field(default_factory=deque)
    published: list[float] = field(default_factory=list)
    acked: list[float] = field(default_factory=list)

    def publish(self, count: int) -> None:
        self.waiting.extend([self.now] * count)
        self.published.extend([self.now] * count)

    def take(self, count: int) -> None:
        for _ in range(min(count, len(self.waiting))):
            self.waiting.popleft()
            self.acked.append(self.now)

    def pass_time(self, seconds: int, arrivals: int = 0, acks: int = 0) -> None:
        """So many are published and acked each second."""
        for _ in range(seconds):
            self.now += 1.0
            self.publish(arrivals)
            self.take(acks)
            self.look()

    def look(self) -> None:
        if self.now % PERIOD == 0:
            seen = QueueTotals(*(bisect_right(times, self.now - self.lag) for times in (self.published, self.acked)))
            self.oldest.measured(self.now, seen, ordered=True)
        self.oldest.looked(self.now, len(self.waiting), empty=not self.waiting)

    @property
    def age(self) -> float | None:
        return self.oldest.age(self.now, len(self.waiting))

    @property
    def true_age(self) -> float:
        return self.now - self.waiting[0] if self.waiting else 0.0


def started(lag: float = 0.0) -> Queue:
    """An empty queue that was measured twice."""
    queue = Queue(lag=lag)
    queue.pass_time(10)
    return queue


def test_nothing_is_known_before_the_first_total() -> None:
    oldest = OldestMessage()
    assert oldest.age(0.0, 0) is None
    oldest.looked(0.0, 5, empty=False)
    oldest.looked(1.0, 0, empty=True)
    assert oldest.age(1.0, 0) is None


def test_an_empty_queue_has_age_zero() -> None:
    assert started().age == 0.0


def test_zero_that_may_be_a_lost_leaders_is_unknown() -> None:
    queue = started()
    queue.oldest.looked(11.0, 0, empty=False)
    assert queue.oldest.age(11.0, 0) is None


def test_a_message_that_nothing_takes_ages_with_the_clock() -> None:
    queue = started()
    queue.publish(1)
    for seconds in (60, 600, 6000):
        queue.pass_time(seconds)
        assert queue.age == pytest.approx(queue.true_age, abs=1.0)


def test_what_waited_before_the_totals_began_has_an_unknown_age_until_it_is_gone() -> None:
    queue = Queue()
    queue.publish(100)
    queue.now = 1000.0
    for _ in range(20):
        queue.pass_time(1, arrivals=1)
        assert queue.age is None
    queue.pass_time(5, acks=21)
    queue.pass_time(5, arrivals=1)
    assert queue.age == pytest.approx(queue.true_age, abs=2 * PERIOD)


def test_after_a_restart_of_the_broker_the_age_is_unknown_until_what_waited_is_gone() -> None:
    queue = started()
    queue.pass_time(20, arrivals=5)
    assert queue.age is not None
    queue.published, queue.acked = [], []
    queue.pass_time(10, arrivals=1)
    assert queue.age is None
    queue.pass_time(20, acks=10)
    assert queue.age == 0.0
    queue.pass_time(20, arrivals=1)
    assert queue.age == pytest.approx(queue.true_age, abs=1.0)


def test_acks_that_went_back_are_a_restart_too() -> None:
    """The total of published messages may have passed the old one before it was read again."""
    queue = started()
    queue.pass_time(20, arrivals=5, acks=3)
    queue.acked = []
    queue.pass_time(5, arrivals=5)
    assert queue.age is None


def test_without_answers_of_the_management_api_the_age_is_unknown_after_a_while_and_known_again() -> None:
    queue = started()
    queue.pass_time(20, arrivals=5)
    queue.now += STALE_SECONDS + 1
    assert queue.age is None
    queue.now = 65.0
    queue.look()
    assert queue.age == pytest.approx(queue.true_age, abs=1.0)


def test_messages_that_do_not_leave_in_order_have_no_age() -> None:
    queue = started()
    queue.pass_time(20, arrivals=5)
    queue.oldest.measured(queue.now + 1, QueueTotals(100, 0), ordered=False)
    queue.oldest.looked(queue.now + 1, 100, empty=False)
    assert queue.oldest.age(queue.now + 1, 100) is None
    queue.oldest.measured(queue.now + 2, QueueTotals(100, 0), ordered=True)
    assert queue.oldest.age(queue.now + 2, 100) is None, "what came in another order still waits"


def test_what_came_between_an_empty_queue_and_the_first_total_has_an_unknown_age() -> None:
    """As while the management API was away for long."""
    oldest = OldestMessage()
    oldest.looked(1.0, 0, empty=True)
    oldest.looked(2.0, 50, empty=False)
    oldest.looked(1000.0, 50, empty=False)
    oldest.measured(1000.0, QueueTotals(50, 0), ordered=True)
    assert oldest.age(1000.0, 50) is None


@pytest.mark.parametrize("jump", [-1000.0, -1.0])
def test_a_clock_that_went_back_makes_the_age_unknown(jump: float) -> None:
    queue = started()
    queue.pass_time(20, arrivals=5)
    queue.oldest.measured(queue.now + jump, QueueTotals(100, 0), ordered=True)
    assert queue.oldest.age(queue.now + jump, 100) is None


@pytest.mark.parametrize("lag", [0.0, 2.0, 4.9])
def test_a_burst_into_an_empty_queue_is_as_old_as_it_is(lag: float) -> None:
    queue = started(lag)
    queue.pass_time(3)
    queue.publish(500)
    for _ in range(40):
        queue.pass_time(1, acks=10)
        assert queue.age == pytest.approx(queue.true_age, abs=1.1)


@pytest.mark.parametrize("lag", [0.0, 2.0, 4.9])
def test_a_burst_makes_an_older_first_message_neither_older_nor_younger(lag: float) -> None:
    queue = started(lag)
    queue.publish(1)
    queue.pass_time(100)
    for _ in range(10):
        queue.publish(1000)
        queue.pass_time(7)
        assert queue.age == pytest.approx(queue.true_age, abs=1.1)


@pytest.mark.parametrize("count", [1_000_000, 2**32 - 1])
def test_a_count_that_rises_far_above_the_totals_costs_no_time(count: int) -> None:
    """A burst that the totals do not have yet, or what a hostile broker says: once a step for each message of it."""
    oldest = OldestMessage()
    oldest.looked(0.0, 0, empty=True)
    oldest.measured(0.5, QueueTotals(0, 0), ordered=True)
    oldest.looked(1.0, 95, empty=False)
    oldest.looked(2.0, 95, empty=False)
    oldest.looked(3.0, 95 + count, empty=False)
    oldest.measured(5.0, QueueTotals(100, 0), ordered=True)
    assert oldest.age(5.0, 95 + count) == pytest.approx(5.0, abs=1.1)


def test_workers_that_stop_do_not_make_the_first_message_young() -> None:
    """Their pace of before is no reason to think that they go on: messages of a slow hour lie close together."""
    queue = started()
    for _ in range(100):
        queue.publish(1)
        queue.pass_time(60)
    queue.pass_time(30, arrivals=0, acks=1)
    for _ in range(30):
        queue.pass_time(1)
        assert queue.age is not None
        assert queue.age >= queue.true_age - 2 * PERIOD - LAG_SECONDS


def test_messages_that_are_returned_count_again_after_a_moment() -> None:
    queue = started()
    queue.pass_time(60, arrivals=2)
    taken = [queue.waiting.popleft() for _ in range(50)]
    queue.pass_time(30)
    queue.waiting.extendleft(reversed(taken))
    queue.pass_time(int(2 * LAG_SECONDS + PERIOD))
    assert queue.age == pytest.approx(queue.true_age, abs=2 * PERIOD)


def test_a_day_of_messages_is_kept_in_few_points_and_its_age_stays_known() -> None:
    queue = started()
    for _ in range(1440):
        queue.publish(20)
        queue.oldest.looked(queue.now, len(queue.waiting), empty=False)
        queue.now += 60.0
        queue.look()
        assert len(queue.oldest.points) <= MOST_POINTS
    for share in (0.0, 0.3, 0.6, 0.9, 0.99):
        queue.take(int(share * len(queue.published)) - len(queue.acked))
        queue.now += 60.0
        queue.look()
        assert queue.age == pytest.approx(queue.true_age, rel=0.1)


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=12),
    st.sampled_from([0.0, 1.0, 3.0]),
)
def test_the_estimate_is_of_a_message_that_was_the_first_just_now(
    phases: list[tuple[int, int, int]], lag: float
) -> None:
    """The statistics show a first message that leaves only a moment later, and no other error adds to that."""
    queue, late = started(lag), int(2 * PERIOD + LAG_SECONDS)
    first = [queue.now] * late
    for seconds, arrivals, acks in phases:
        for _ in range(seconds):
            queue.pass_time(1, arrivals, acks)
            first.append(queue.waiting[0] if queue.waiting else queue.now)
            if queue.age is not None:
                assert first[-late] - late <= queue.now - queue.age <= first[-1] + late


totals = st.builds(QueueTotals, st.integers(0, 2**40), st.integers(0, 2**40))
measures = st.tuples(st.just("measured"), totals | st.none(), st.booleans())
looks = st.tuples(st.just("looked"), st.integers(0, 2**40), st.booleans())
pauses = st.floats(-10, 10_000, allow_nan=False)


@given(st.lists(st.tuples(pauses, measures | looks), max_size=60))
def test_whatever_comes_an_age_is_a_sound_number_of_a_time_that_was_seen(
    steps: list[tuple[float, tuple[str, object, bool]]],
) -> None:
    oldest, now, begun = OldestMessage(), 0.0, 0.0
    for pause, (what, value, flag) in steps:
        now += pause
        begun = min(begun, now)
        if what == "measured":
            assert value is None or isinstance(value, QueueTotals)
            oldest.measured(now, value, ordered=flag)
        else:
            assert isinstance(value, int)
            oldest.looked(now, value, empty=flag and value == 0)
        for ready in (0, 1, 2**20):
            age = oldest.age(now, ready)
            assert age is None or 0.0 <= age <= now - begun
        assert len(oldest.points) <= MOST_POINTS
        for low, high in pairwise(oldest.points):
            assert low.time <= high.time
            assert low.published <= high.published
