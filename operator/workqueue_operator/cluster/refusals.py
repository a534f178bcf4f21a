"""What the API server refused the passes over one WorkQueue, in a row, and when they may ask it again. Pure."""

from dataclasses import dataclass

from workqueue_broker.backoff import full_jitter

from workqueue_operator.cluster.port import ClusterError, Forbidden, Rejected

#: Bounds of the wait after a refused or unanswered request, seconds.
RETRY_BASE_SECONDS = 0.5
RETRY_CAP_SECONDS = 30.0
#: Failures in a row from which on an overload or a conflict counts as lasting: one or two pass by themselves.
PASSING_FAILURES = 3


@dataclass(frozen=True)
class Refusal:
    """Requests that failed in a row, of which the last one."""

    error: ClusterError
    failures: int
    #: Seconds of the operator's clock before which no further request is made for this WorkQueue.
    retry_at: float

    @property
    def is_lasting(self) -> bool:
        """Whether a person must read of it: of a missing right at once, of an overload when it does not pass."""
        return isinstance(self.error, Forbidden | Rejected) or self.failures >= PASSING_FAILURES

    def stands(self, now: float) -> bool:
        """Whether the API server is still left alone."""
        return now < self.retry_at


def refused(before: Refusal | None, error: ClusterError, now: float) -> Refusal:
    """One more failure, with a random wait that grows with each of them."""
    failures = 1 + (before.failures if before else 0)
    return Refusal(error, failures, now + full_jitter(failures, base=RETRY_BASE_SECONDS, cap=RETRY_CAP_SECONDS))
