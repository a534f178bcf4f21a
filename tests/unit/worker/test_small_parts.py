"""Waits between connections, what copies say, log lines, and the broker's consumer timeout."""

import datetime
import json
import logging

import pytest
from workqueue_broker.errors import AccessRefused, BrokerUnavailable, QueueMismatch, QueueMissing
from workqueue_worker import consumer_timeout, logs, task_copy
from workqueue_worker.delivery import Delivery
from workqueue_worker.reconnecting import LONGEST_WAIT_SECONDS, REFUSED_WAIT_SECONDS, Reconnecting
from workqueue_worker.settlement import DeadLettered, DeadLetterReason, attempts_before

NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


def longest(_low: float, high: float) -> float:
    return high


def test_waits_between_connections_grow_to_a_limit_and_start_small_again_after_a_healthy_minute() -> None:
    reconnecting = Reconnecting(longest)
    waits = [reconnecting.wait_after(BrokerUnavailable("gone"), 0.0) for _ in range(8)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, *[LONGEST_WAIT_SECONDS] * 3]
    reconnecting.connected(100.0)
    assert reconnecting.wait_after(BrokerUnavailable("gone"), 130.0) == LONGEST_WAIT_SECONDS
    reconnecting.connected(200.0)
    assert reconnecting.wait_after(BrokerUnavailable("gone"), 260.0) == 0.5


@pytest.mark.parametrize("error", [AccessRefused("x"), QueueMissing("x"), QueueMismatch("x")])
def test_what_only_a_person_can_mend_is_tried_slowly(error: Exception) -> None:
    assert Reconnecting(lambda low, _high: low).wait_after(error, 0.0) == REFUSED_WAIT_SECONDS  # type: ignore[arg-type]


FIRST = "2026-01-01T11:00:00.000+00:00"
CRASHED = DeadLettered(DeadLetterReason.CRASHED, "why")


def test_a_parked_copy_says_what_is_known_and_carries_what_fits() -> None:
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


def test_a_task_that_somebody_moved_back_by_hand_starts_anew() -> None:
    dead_letters = task_copy.for_dead_letter({}, task_copy.Attempts(5, "w", NOON), CRASHED, "q", "q.dead").headers
    assert attempts_before(Delivery(1, 1, False, b"", dead_letters, "m", None, None, None)) == 0
    again = task_copy.for_retry(dead_letters, task_copy.Attempts(1, "w", NOON + datetime.timedelta(hours=1)), "q")
    assert again.headers["x-workqueue-first-time"] == "2026-01-01T13:00:00.000+00:00"


@pytest.mark.parametrize(
    ("queue", "seconds"),
    [
        ({}, None),
        ({"effective_policy_definition": {"consumer-timeout": 120_000}, "arguments": {}}, 120.0),
        ({"effective_policy_definition": [], "arguments": {"x-consumer-timeout": 60_000}}, 60.0),
        (
            {"effective_policy_definition": {"consumer-timeout": 9000}, "arguments": {"x-consumer-timeout": 8000}},
            8.0,
        ),
    ],
)
def test_the_smaller_consumer_timeout_of_a_queue_holds(queue: dict[str, object], seconds: float | None) -> None:
    assert consumer_timeout.of_queue(queue) == seconds


def test_a_warning_comes_only_when_a_task_may_be_in_hand_longer_than_the_broker_lets_it() -> None:
    assert consumer_timeout.warning(1799.0, None) is None
    assert "1800 s" in str(consumer_timeout.warning(1800.0, None))
    assert consumer_timeout.warning(3600.0, 7200.0) is None


def _record() -> logging.LogRecord:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "task %s", ("a",), None)
    record.fields = {"id": "a b", "seconds": 1.5, "outcome": "done"}
    return record


def test_a_json_line_holds_the_fields_as_keys() -> None:
    line = json.loads(logs.JsonFormatter().format(_record()))
    assert (line["message"], line["level"], line["id"], line["seconds"]) == ("task a", "info", "a b", 1.5)


def test_a_text_line_quotes_what_has_spaces() -> None:
    assert logs.TextFormatter().format(_record()).endswith('INFO    x: task a id="a b" seconds=1.5 outcome=done')
