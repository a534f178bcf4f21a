"""The next status: what is due for a write at once, what waits, and what is no news."""

from typing import Any

import pytest
from workqueue_operator.scaling.decision import Reason, ScalingDecision, Unknown
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.status.next_status import (
    COUNTS_PERIOD_SECONDS,
    RECENT_DECISIONS,
    Change,
    Pass,
    is_due,
    next_status,
    timestamp,
)

NOW = timestamp(1_770_000_000)
LATER = timestamp(1_770_000_060)


def decision(replicas: int, message: str = "") -> ScalingDecision:
    return ScalingDecision(replicas, replicas, Reason.BACKLOG, message or f"0 -> {replicas}: in words")


def test_a_timestamp_is_rfc_3339_in_whole_seconds_of_utc() -> None:
    assert timestamp(1_770_000_000.9) == "2026-02-02T02:40:00Z"


@pytest.mark.parametrize("reading", [None, Unknown("Unavailable", "connection refused")])
def test_without_a_reading_no_number_of_an_old_one_stays(reading: Unknown | None) -> None:
    """None takes a field out of the stored status."""
    before = next_status({}, Pass(1, (), 2, 2, Counts(7, 2, messages_unacknowledged=2), tasks_in_progress=2), NOW)
    assert (before["messagesReady"], before["tasksInProgress"]) == (7, 2)
    after = next_status(before, Pass(1, (), 2, 2, reading), NOW)
    assert {after[name] for name in ("messagesReady", "consumers", "messagesUnacknowledged", "tasksInProgress")} == {
        None
    }


def test_a_decision_that_stays_keeps_its_time_and_takes_the_new_sentence() -> None:
    before = next_status({}, Pass(1, (), decision=decision(6, "30 ready")), NOW)
    after = next_status(before, Pass(1, (), decision=decision(6, "29 ready")), LATER)
    assert (after["lastDecision"]["time"], after["lastDecision"]["message"]) == (NOW, "29 ready")
    other = next_status(before, Pass(1, (), decision=decision(7)), LATER)
    assert other["lastDecision"]["time"] == LATER


def test_only_the_latest_changes_are_kept_newest_first() -> None:
    status: dict[str, Any] = {}
    for size in range(1, RECENT_DECISIONS + 3):
        status = next_status(status, Pass(1, (), decision=decision(size), changes=[Change(decision(size), NOW)]), NOW)
    sizes = [one["replicas"] for one in status["recentDecisions"]]
    assert sizes == list(range(RECENT_DECISIONS + 2, 2, -1))


def test_a_change_is_due_at_once_and_counts_wait_for_their_turn() -> None:
    old = next_status({}, Pass(1, (), 6, 6, Counts(30, 6), decision(6)), NOW)
    moved = next_status(old, Pass(1, (), 6, 6, Counts(29, 6), decision(6)), NOW)
    assert not is_due(old, moved, COUNTS_PERIOD_SECONDS - 0.1)
    assert is_due(old, moved, COUNTS_PERIOD_SECONDS)
    grown = next_status(old, Pass(1, (), 7, 6, Counts(30, 6), decision(7)), NOW)
    assert is_due(old, grown, 0.0)


def test_a_sentence_whose_numbers_alone_move_is_never_due() -> None:
    old = next_status({}, Pass(1, (), 6, 6, None, decision(6, "2.1 s a task x 4e-07 new/s")), NOW)
    new = next_status(old, Pass(1, (), 6, 6, None, decision(6, "2.2 s a task x 3e-07 new/s")), NOW)
    assert not is_due(old, new, 3600.0)


def test_nothing_new_is_never_due() -> None:
    old = next_status({}, Pass(1, (), 6, 6, Counts(30, 6), decision(6)), NOW)
    assert not is_due(old, next_status(old, Pass(1, (), 6, 6, Counts(30, 6), decision(6)), LATER), 3600.0)
