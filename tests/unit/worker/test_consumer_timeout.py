"""The broker's consumer timeout: which one holds, and when the worker warns of it."""

import pytest
from workqueue_worker import consumer_timeout


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
