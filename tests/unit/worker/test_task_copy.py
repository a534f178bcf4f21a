"""What the copies of a task carry: attempts, times, and the reason of a dead letter."""

import datetime

from workqueue_worker import task_copy
from workqueue_worker.delivery import Delivery
from workqueue_worker.settlement import DeadLettered, DeadLetterReason, attempts_before

NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


FIRST = "2026-01-01T11:00:00.000+00:00"
CRASHED = DeadLettered(DeadLetterReason.CRASHED, "why")


def test_a_dead_lettered_copy_says_what_is_known_and_carries_what_fits() -> None:
    made = task_copy.Attempts(5, "pod-1", NOON)
    copy = task_copy.for_dead_letter({"x-workqueue-first-time": FIRST}, made, CRASHED, "q", "q.dead")
    assert (copy.queue, copy.carried) == ("q.dead", task_copy.Carried.WHAT_FITS)
    assert copy.headers == {
        "x-workqueue-attempts": 5,
        "x-workqueue-reason": "crashed",
        "x-workqueue-error": "why",
        "x-workqueue-worker": "pod-1",
        "x-workqueue-first-time": FIRST,
        "x-workqueue-last-time": "2026-01-01T12:00:00.000+00:00",
        "x-workqueue-queue": "q",
    }


def test_a_retried_copy_keeps_the_time_of_the_first_failure() -> None:
    first = task_copy.for_retry({}, task_copy.Attempts(1, "w", NOON), "q")
    second = task_copy.for_retry(first.headers, task_copy.Attempts(2, "w", NOON + datetime.timedelta(hours=1)), "q")
    assert second.headers == {"x-workqueue-attempts": 2, "x-workqueue-first-time": "2026-01-01T12:00:00.000+00:00"}
    assert (second.queue, second.carried) == ("q", task_copy.Carried.WHOLE)


def test_a_time_of_the_first_failure_that_no_worker_wrote_is_not_taken_over() -> None:
    for forged in ("x" * 100_000, b"bytes", 5):
        copy = task_copy.for_retry({"x-workqueue-first-time": forged}, task_copy.Attempts(1, "w", NOON), "q")
        assert copy.headers["x-workqueue-first-time"] == "2026-01-01T12:00:00.000+00:00"


def test_a_task_that_a_person_moved_back_by_hand_starts_again() -> None:
    dead_letters = task_copy.for_dead_letter({}, task_copy.Attempts(5, "w", NOON), CRASHED, "q", "q.dead").headers
    assert attempts_before(Delivery(1, 1, False, b"", dead_letters, "m", None, None, None)) == 0
    again = task_copy.for_retry(dead_letters, task_copy.Attempts(1, "w", NOON + datetime.timedelta(hours=1)), "q")
    assert again.headers["x-workqueue-first-time"] == "2026-01-01T13:00:00.000+00:00"
