"""Tasks whose ack was lost: what may answer for what. It must never answer for a task that no worker ran."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_worker.delivery import Delivery
from workqueue_worker.finished_tasks import FinishedTasks


def delivery(
    message_id: str | None = "id", body: bytes = b"body", time: float | None = 1.0, **headers: object
) -> Delivery:
    return Delivery(1, 1, False, body, headers, message_id, None, time, None)


def test_a_run_whose_ack_was_lost_answers_for_its_task_once() -> None:
    finished = FinishedTasks()
    finished.add(delivery())
    assert finished.take(delivery())
    assert not finished.take(delivery())


def test_what_brokers_and_workers_write_on_a_task_makes_it_no_other() -> None:
    """Another worker had it in between, and sent it back counted."""
    finished = FinishedTasks()
    finished.add(delivery(mine=1))
    again: dict[str, Any] = {"x-delivery-count": 2, "x-workqueue-attempts": 1, "x-workqueue-first-time": "2026"}
    assert finished.take(delivery(mine=1, **again))


@pytest.mark.parametrize(
    "other",
    [delivery("another"), delivery(body=b"another"), delivery(time=2.0), delivery(h=1), delivery(time=None)],
    ids=["id", "body", "time", "header", "no-time"],
)
def test_it_answers_for_no_other_task(other: Delivery) -> None:
    """A producer that uses its ids twice means two tasks."""
    finished = FinishedTasks()
    finished.add(delivery())
    assert not finished.take(other)


@pytest.mark.parametrize("unknown", [delivery(None), delivery(time=None)], ids=["no-id", "no-time"])
def test_a_task_that_cannot_be_distinguished_from_the_next_one_is_not_remembered(unknown: Delivery) -> None:
    finished = FinishedTasks()
    finished.add(unknown)
    assert not finished.take(unknown)


def test_the_oldest_are_forgotten() -> None:
    finished = FinishedTasks(capacity=2)
    for name in ("a", "b", "c"):
        finished.add(delivery(name))
    assert [finished.take(delivery(name)) for name in ("a", "b", "c")] == [False, True, True]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ab"))))
def test_no_more_messages_are_answered_for_than_were_run(steps: list[tuple[bool, str]]) -> None:
    finished, lost, answered = FinishedTasks(), {"a": 0, "b": 0}, {"a": 0, "b": 0}
    for is_lost, name in steps:
        if is_lost:
            finished.add(delivery(name))
            lost[name] += 1
        else:
            answered[name] += finished.take(delivery(name))
        assert answered[name] <= lost[name]
