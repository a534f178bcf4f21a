"""The rules of retry, attempts and dead letter: bounded on every queue, whatever headers say."""

import datetime
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_worker import task_copy
from workqueue_worker.delivery import Delivery
from workqueue_worker.settlement import (
    FRESH_COPY_AT,
    HIGHEST_COUNT,
    LAST_COUNT,
    Ack,
    Arrival,
    CountAgain,
    DeadLettered,
    DeadLetterReason,
    Failed,
    FailureReason,
    Finished,
    Outcome,
    Rejected,
    RetryLater,
    RetryPolicy,
    Run,
    after,
    attempts_before,
    nears_the_limit,
    on_arrival,
)

POLICY = RetryPolicy(max_attempts=3, max_delay=30.0)
FAILED = Failed(FailureReason.EXCEPTION, "no")

anything: st.SearchStrategy[object] = st.integers() | st.sampled_from(
    [None, True, 2.5, float("nan"), "many", "3", b"\xff", []]
)
headers = st.dictionaries(
    st.sampled_from(["x-workqueue-attempts", "x-delivery-count", "x-acquired-count", "else"]), anything
)
policies = st.builds(
    RetryPolicy, max_attempts=st.integers(1, 100), max_delay=st.floats(0.001, 1e6), base_delay=st.floats(0.001, 1e3)
)


def delivery(headers: Mapping[str, object], *, redelivered: bool, readable: bool = True) -> Delivery:
    return Delivery(1, 1, redelivered, b"", headers, "m", None, None, None, b"" if readable else b"?")


def arrives(
    headers: Mapping[str, object],
    *,
    redelivered: bool,
    done_before: bool = False,
    policy: RetryPolicy = POLICY,
    readable: bool = True,
) -> Arrival:
    came = delivery(headers, redelivered=redelivered, readable=readable)
    return on_arrival(came, attempts_before(came), policy, lambda _: done_before)


def test_a_first_delivery_runs() -> None:
    assert arrives({}, redelivered=False, done_before=False, policy=POLICY) == Run()


def test_a_finished_task_is_acked() -> None:
    assert after(Finished(), 1, POLICY) == Ack()


def test_a_rejected_task_is_dead_lettered_at_once() -> None:
    assert after(Rejected("no"), 1, POLICY) == DeadLettered(DeadLetterReason.REJECTED, "no")


def test_the_last_attempt_that_fails_dead_letters_the_task() -> None:
    assert isinstance(after(FAILED, 2, POLICY), RetryLater)
    assert after(FAILED, 3, POLICY) == DeadLettered(DeadLetterReason.ATTEMPTS_EXHAUSTED, "no")


def test_the_broker_counts_for_a_quorum_queue_and_our_header_for_the_copies_before() -> None:
    assert attempts_before(delivery({"x-workqueue-attempts": 2, "x-delivery-count": 1}, redelivered=True)) == 3


def test_counts_that_another_queue_left_on_a_message_are_not_its_attempts() -> None:
    """A shovel takes a message's headers along."""
    assert attempts_before(delivery({"x-delivery-count": 19}, redelivered=False)) == 0


def test_a_count_that_a_producer_made_up_is_bounded_so_that_one_more_can_be_written() -> None:
    """AMQP's largest whole number is 2**63 - 1: a copy with one more could not be encoded, and would end the worker."""
    forged: dict[str, object] = {"x-workqueue-attempts": 2**63 - 1, "x-delivery-count": 2**63 - 1}
    assert attempts_before(delivery(forged, redelivered=True)) == 2 * HIGHEST_COUNT


def test_a_polite_return_is_no_attempt_where_the_broker_distinguishes_it_from_a_failed_one() -> None:
    """RabbitMQ 4.3 counts every taking, and failures apart; the second count is not there while it is zero."""
    handed_back = {"x-acquired-count": 4}
    assert attempts_before(delivery(handed_back, redelivered=True)) == 0
    assert arrives(handed_back, redelivered=True, done_before=False, policy=POLICY) == Run()
    assert attempts_before(delivery({"x-acquired-count": 4, "x-delivery-count": 1}, redelivered=True)) == 1
    assert attempts_before(delivery({"x-acquired-count": 4, "x-workqueue-attempts": 2}, redelivered=True)) == 2


def test_before_the_broker_deletes_a_task_that_came_back_often_a_copy_starts_its_count_at_zero() -> None:
    """RabbitMQ 4 deletes it after 20 returns, by default, however many attempts a worker would give it."""
    patient = RetryPolicy(max_attempts=1000)
    often = {"x-delivery-count": FRESH_COPY_AT, "x-workqueue-attempts": 30}
    assert arrives(often, redelivered=True, done_before=False, policy=patient) == CountAgain(counted_by_broker=True)
    seldom = often | {"x-delivery-count": FRESH_COPY_AT - 1}
    assert arrives(seldom, redelivered=True, done_before=False, policy=patient) == Run()
    assert arrives(often, redelivered=False, done_before=False, policy=patient) == Run()


def test_a_task_that_no_fresh_copy_can_be_made_of_is_dead_lettered_before_the_broker_deletes_it() -> None:
    last = {"x-delivery-count": LAST_COUNT}
    arrival = arrives(last, redelivered=True, done_before=False, policy=RetryPolicy(max_attempts=1000))
    assert isinstance(arrival, DeadLettered)
    assert FRESH_COPY_AT < LAST_COUNT < 20


@pytest.mark.parametrize(
    ("found", "redelivered", "readable", "near"),
    [
        ({"x-delivery-count": FRESH_COPY_AT}, True, True, True),
        ({"x-delivery-count": FRESH_COPY_AT - 1}, True, True, False),
        ({"x-delivery-count": 19}, False, True, False),
        ({}, True, True, False),
        ({}, True, False, True),
        ({}, False, False, False),
    ],
)
def test_a_copy_must_take_a_tasks_place_well_before_the_limit_and_at_once_where_its_count_cannot_be_read(
    found: dict[str, object], redelivered: bool, readable: bool, near: bool
) -> None:
    assert nears_the_limit(delivery(found, redelivered=redelivered, readable=readable)) is near


def test_a_dead_letter_that_waits_in_the_tasks_own_queue_is_dead_lettered_as_it_was_decided_and_never_run() -> None:
    made = task_copy.Attempts(2, "pod-1", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    verdict = DeadLettered(DeadLetterReason.REJECTED, "no")
    dead_letter = task_copy.for_dead_letter({}, made, verdict, "q", "q.dead")
    waiting = task_copy.for_waiting(dead_letter, "q")
    assert waiting.queue == "q"
    for returned in (0, 5, 19):
        found = {**waiting.headers, "x-delivery-count": returned}
        for done_before in (False, True):
            arrival = arrives(found, redelivered=bool(returned), done_before=done_before, policy=POLICY)
            assert arrival == verdict
        assert attempts_before(delivery(found, redelivered=bool(returned))) == 2
    later = task_copy.Attempts(2, "pod-2", datetime.datetime(2026, 2, 2, tzinfo=datetime.UTC))
    assert task_copy.for_dead_letter(waiting.headers, later, verdict, "q", "q.dead") == dead_letter


@given(anything, anything, st.booleans())
def test_a_forged_mark_of_a_waiting_dead_letter_makes_a_dead_letter_and_nothing_else(
    reason: object, error: object, redelivered: bool
) -> None:
    found = {"x-workqueue-dead-letter-waits": True, "x-workqueue-reason": reason, "x-workqueue-error": error}
    arrival = arrives(found, redelivered=redelivered, done_before=False, policy=POLICY)
    assert arrival == DeadLettered(DeadLetterReason.REJECTED, str(error))


def test_what_a_waiting_dead_letter_says_of_its_last_attempt_is_kept_only_as_a_worker_writes_it() -> None:
    made = task_copy.Attempts(1, "pod", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    verdict = DeadLettered(DeadLetterReason.REJECTED, "no")
    honest = task_copy.for_dead_letter({}, made, verdict, "q", "q.dead")
    for forged in ("\u20ac" * 86, b"bytes", 5, "x" * 100_000):
        found = {"x-workqueue-dead-letter-waits": True, "x-workqueue-worker": forged}
        assert task_copy.for_dead_letter(found, made, verdict, "q", "q.dead") == honest


def test_a_task_whose_headers_cannot_be_read_is_dead_lettered_and_not_run() -> None:
    arrival = arrives({}, redelivered=False, done_before=False, policy=POLICY, readable=False)
    assert isinstance(arrival, DeadLettered)
    assert "cannot be read" in arrival.detail


def test_a_redelivery_that_no_broker_counts_is_one_attempt_and_is_counted_by_a_copy() -> None:
    assert attempts_before(delivery({"x-workqueue-attempts": 1}, redelivered=True)) == 2
    assert arrives({}, redelivered=True, done_before=False, policy=POLICY) == CountAgain(counted_by_broker=False)


def test_a_redelivery_that_the_broker_counts_runs() -> None:
    assert arrives({"x-delivery-count": 1}, redelivered=True, done_before=False, policy=POLICY) == Run()


def test_a_task_whose_attempts_are_used_up_on_arrival_is_dead_lettered_as_crashed() -> None:
    arrival = arrives({"x-delivery-count": 3}, redelivered=True, done_before=False, policy=POLICY)
    assert isinstance(arrival, DeadLettered)
    assert arrival.reason is DeadLetterReason.CRASHED


def test_a_task_that_this_worker_finished_is_acked_when_it_comes_again() -> None:
    for came_again in ({"x-delivery-count": 1}, {}, {"x-workqueue-attempts": 1}):
        redelivered = "x-workqueue-attempts" not in came_again
        assert arrives(came_again, redelivered=redelivered, done_before=True, policy=POLICY) == Ack()


def test_a_message_never_delivered_before_runs_even_when_one_like_it_was_finished() -> None:
    """A producer may use an id twice; losing the second task would be worse than running it."""
    assert arrives({}, redelivered=False, done_before=True, policy=POLICY) == Run()


def test_what_a_handler_asks_for_is_clamped_to_the_stated_hold() -> None:
    assert after(Failed(FailureReason.EXCEPTION, "", delay=3600.0), 1, POLICY) == RetryLater(30.0)
    assert after(Failed(FailureReason.EXCEPTION, "", delay=-1.0), 1, POLICY) == RetryLater(0.0)


@given(headers, st.booleans(), st.booleans(), policies)
def test_no_headers_make_an_arrival_without_an_answer_or_with_attempts_past_the_limit(
    found: dict[str, object], redelivered: bool, done_before: bool, policy: RetryPolicy
) -> None:
    arrival = arrives(found, redelivered=redelivered, done_before=done_before, policy=policy)
    before = attempts_before(delivery(found, redelivered=redelivered))
    handed_back_only = "x-acquired-count" in found and "x-delivery-count" not in found
    assert before >= int(redelivered and not handed_back_only)
    if isinstance(arrival, Run | CountAgain):
        assert before < policy.max_attempts


@given(st.integers(1, 200), policies, st.floats() | st.none())
def test_a_failed_task_is_held_no_longer_than_stated_and_tried_no_more_often(
    attempts: int, policy: RetryPolicy, delay: float | None
) -> None:
    settlement = after(Failed(FailureReason.EXCEPTION, "", delay), attempts, policy)
    if isinstance(settlement, RetryLater):
        assert attempts < policy.max_attempts
        assert 0 <= settlement.delay_seconds <= policy.max_delay
    else:
        assert attempts >= policy.max_attempts


@given(st.integers(1, 20), st.lists(st.sampled_from(["fails", "crashes"]), min_size=60, max_size=60), st.booleans())
def test_every_task_ends_after_the_limit_of_attempts_however_they_end(
    max_attempts: int, ends: list[str], counting: bool
) -> None:
    """Plays a task's life in a queue that counts crashes, and in one that does not."""
    policy = RetryPolicy(max_attempts=max_attempts)
    found: dict[str, object] = {}
    redelivered, runs = False, 0
    while True:
        arrival = arrives(found, redelivered=redelivered, done_before=False, policy=policy)
        before = attempts_before(delivery(found, redelivered=redelivered))
        if isinstance(arrival, DeadLettered):
            break
        if isinstance(arrival, CountAgain):
            assert not counting or found["x-delivery-count"] == FRESH_COPY_AT
            found, redelivered = {"x-workqueue-attempts": before}, False
            continue
        runs += 1
        if ends[runs] == "crashes":
            returns = found.get("x-delivery-count", 0)
            assert isinstance(returns, int)
            found = found | {"x-delivery-count": returns + 1} if counting else found
            redelivered = True
            continue
        if isinstance(after(FAILED, before + 1, policy), DeadLettered):
            break
        found, redelivered = {"x-workqueue-attempts": before + 1}, False
    assert runs == max_attempts


@given(st.sampled_from([Finished(), Rejected("x"), FAILED]), st.integers(1, 10))
def test_the_same_outcome_settles_the_same_way(outcome: Outcome, attempts: int) -> None:
    first, second = (after(outcome, attempts, POLICY, uniform=lambda low, high: (low + high) / 2) for _ in range(2))
    assert first == second
