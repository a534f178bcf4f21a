"""Refused requests in a row: when a person must read of them, and how long the API server is left alone."""

import pytest
from workqueue_operator.cluster.port import ClusterError, ClusterUnavailable, Conflict, Forbidden, Rejected
from workqueue_operator.cluster.refusals import PASSING_FAILURES, RETRY_CAP_SECONDS, Refusal, refused


def in_a_row(error: ClusterError, failures: int, now: float = 100.0) -> Refusal:
    """The refusal after so many failures, all at `now`."""
    refusal = refused(None, error, now)
    for _ in range(failures - 1):
        refusal = refused(refusal, error, now)
    return refusal


@pytest.mark.parametrize("error", [Forbidden("403"), Rejected("422")])
def test_a_missing_right_is_lasting_at_once(error: ClusterError) -> None:
    assert in_a_row(error, 1).is_lasting


@pytest.mark.parametrize("error", [ClusterUnavailable("429"), Conflict("409")])
def test_an_overload_is_lasting_when_it_does_not_pass(error: ClusterError) -> None:
    assert not in_a_row(error, PASSING_FAILURES - 1).is_lasting
    assert in_a_row(error, PASSING_FAILURES).is_lasting


@pytest.mark.parametrize("failures", [1, 2, 10, 5000])
def test_after_any_number_of_failures_the_wait_is_bounded(failures: int) -> None:
    refusal = in_a_row(ClusterUnavailable("429"), failures)
    assert refusal.failures == failures
    assert 100.0 <= refusal.retry_at <= 100.0 + RETRY_CAP_SECONDS
    assert not refusal.stands(100.0 + RETRY_CAP_SECONDS)


def test_until_its_time_the_refusal_stands() -> None:
    assert Refusal(Forbidden("403"), 1, retry_at=5.0).stands(4.9)
    assert not Refusal(Forbidden("403"), 1, retry_at=5.0).stands(5.0)
