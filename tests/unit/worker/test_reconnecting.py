"""Waits between connections: they grow to a limit, and start small again after a healthy minute."""

import pytest
from workqueue_broker.errors import AccessRefused, BrokerError, BrokerUnavailable, QueueMismatch, QueueMissing
from workqueue_worker.reconnecting import LONGEST_WAIT_SECONDS, REFUSED_WAIT_SECONDS, Reconnecting


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
def test_what_only_a_person_can_fix_is_tried_slowly(error: BrokerError) -> None:
    assert Reconnecting(lambda low, _high: low).wait_after(error, 0.0) == REFUSED_WAIT_SECONDS
