"""Counts of dead-letter queues: how often they are asked for, and what an answer proves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_broker.declaration import Declare, QueueCounts, QueueDeclaration, QueueType
from workqueue_broker.errors import AccessRefused, BrokerError, BrokerUnavailable, QueueMismatch, QueueMissing
from workqueue_operator.rabbitmq.dead_letters import ASK_SECONDS, CAP_SECONDS, STALE_SECONDS, DeadLetters
from workqueue_operator.rabbitmq.leader import SETTLED_SECONDS, LeaderSeen
from workqueue_operator.resource import QueueSpec


def queue(kind: QueueType = QueueType.QUORUM) -> QueueSpec:
    return QueueSpec(QueueDeclaration("jobs", kind), Declare.CREATE, "jobs.dead", 20, None, None)


def counted(*answers: tuple[float, int, int], kind: QueueType = QueueType.QUORUM, empty: bool = False) -> DeadLetters:
    """After answers of so many messages and consumers; `empty`: the management API shows 0 and 0 just then."""
    known = DeadLetters()
    for now, messages, consumers in answers:
        leader = LeaderSeen(now, None, empty=True) if empty else None
        known = known.counted(QueueCounts(messages, consumers), leader, queue(kind), now)
    return known


def test_before_the_first_answer_nothing_is_known() -> None:
    assert DeadLetters().count(0.0) is None


def test_a_count_is_known_until_it_is_too_old() -> None:
    known = counted((100.0, 3, 0))
    assert known.count(100.0 + STALE_SECONDS) == 3
    assert known.count(100.0 + STALE_SECONDS + 1) is None


def test_zero_of_a_quorum_queue_is_no_count_as_long_as_it_may_have_no_leader() -> None:
    assert counted((0.0, 5, 0), (15.0, 0, 0), (30.0, 0, 0)).count(30.0) is None


def test_zero_of_a_quorum_queue_counts_once_the_management_api_shows_it_empty_for_a_while() -> None:
    assert counted((0.0, 0, 0), empty=True).count(0.0) is None
    assert counted((0.0, 0, 0), (SETTLED_SECONDS, 0, 0), empty=True).count(SETTLED_SECONDS) == 0


def test_zero_beside_a_consumer_is_a_leaders_answer() -> None:
    assert counted((0.0, 0, 1)).count(0.0) == 0


def test_zero_of_a_classic_queue_counts_at_once() -> None:
    assert counted((0.0, 0, 0), kind=QueueType.CLASSIC).count(0.0) == 0


@pytest.mark.parametrize("error", [QueueMissing("404"), AccessRefused("403"), QueueMismatch("405")])
def test_a_queue_that_cannot_be_read_is_unknown_and_asked_for_less_and_less_often(error: BrokerError) -> None:
    """In a day some two hundred lines in the broker's log, not six thousand."""
    known, now, asked = counted((0.0, 3, 0)), 15.0, 0
    while now < 86_400:
        known, asked = known.failed(error, now), asked + 1
        assert known.count(now) is None
        assert known.ask_at - now <= CAP_SECONDS
        now = known.ask_at
    assert asked < 160


def test_a_queue_that_is_there_again_is_asked_for_as_often_as_before() -> None:
    known = DeadLetters()
    for _ in range(9):
        known = known.failed(QueueMissing("404"), known.ask_at if known.failures else 0.0)
    known = known.counted(QueueCounts(2, 0), None, queue(), 9000.0)
    assert (known.count(9000.0), known.ask_at) == (2, 9000.0 + ASK_SECONDS)
    assert known.failed(QueueMissing("404"), 9015.0).ask_at == 9015.0 + ASK_SECONDS


def test_a_broker_that_is_away_leaves_the_last_count_until_it_is_too_old() -> None:
    known = counted((0.0, 3, 0)).failed(BrokerUnavailable("away"), 15.0)
    assert known.count(15.0) == 3
    assert known.ask_at == 15.0 + ASK_SECONDS
    assert known.count(STALE_SECONDS + 1) is None


answers = st.tuples(st.floats(0, 100), st.integers(0, 5), st.integers(0, 2), st.booleans())


@given(st.lists(answers, max_size=20))
def test_whatever_the_answers_a_count_is_one_that_the_broker_gave(
    given_answers: list[tuple[float, int, int, bool]],
) -> None:
    known, now = DeadLetters(), 0.0
    for pause, messages, consumers, missing in given_answers:
        now += pause
        if missing:
            known = known.failed(QueueMissing("404"), now)
            assert known.count(now) is None
        else:
            known = known.counted(QueueCounts(messages, consumers), None, queue(), now)
            assert known.count(now) == (None if messages == consumers == 0 else messages)
        assert now + ASK_SECONDS <= known.ask_at <= now + CAP_SECONDS
