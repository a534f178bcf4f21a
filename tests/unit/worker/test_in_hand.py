"""A delivery in hand: one thread reports its outcome, and it is stopped for one cause."""

import threading

from workqueue_worker.delivery import Delivery
from workqueue_worker.in_hand import InHand, StopCause


def in_hand(**headers: object) -> InHand:
    return InHand(Delivery(3, 7, False, b"", headers, "m", None, None, None))


def test_of_many_threads_one_claims_the_outcome() -> None:
    delivery = in_hand()
    claims: list[bool] = []
    threads = [threading.Thread(target=lambda: claims.append(delivery.claim())) for _ in range(8)]
    assert not delivery.attempt_is_over
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claims) == [False] * 7 + [True]
    assert delivery.attempt_is_over


def test_the_first_cause_to_stop_an_attempt_stands() -> None:
    delivery = in_hand()
    assert not delivery.cancelled.is_set()
    delivery.stop(StopCause.TIME_LIMIT)
    delivery.stop(StopCause.SHUTDOWN)
    assert delivery.stop_cause is StopCause.TIME_LIMIT
    assert delivery.cancelled.is_set()


def test_the_time_of_an_attempt_begins_with_the_handler_and_ends_with_the_claim() -> None:
    delivery = in_hand()
    assert delivery.seconds_so_far(1e9) == 0.0
    delivery.start()
    assert delivery.seconds_so_far(1e9) > 0.0
    assert delivery.claim()
    assert delivery.seconds == delivery.seconds


def test_an_attempt_is_numbered_from_what_the_headers_count() -> None:
    assert in_hand().attempt == 1
    assert in_hand(**{"x-workqueue-attempts": 2}).attempt == 3
    assert in_hand().key == (3, 7)
