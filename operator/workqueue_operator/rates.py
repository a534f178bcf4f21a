"""How a queue moves: arrival rate, service time and redeliveries without acks, from the broker's running totals. Pure.

Averages are exponential with one half-life for all, so that a quotient of two of them is one of the same time.
"""

from dataclasses import dataclass

from workqueue_operator.scaling import Rates

#: Seconds after which a sample counts half: long against the broker's 5 s statistics, short against a shift.
HALF_LIFE_SECONDS = 15.0
#: Seconds without a new sample after which nothing is known any more.
STALE_SECONDS = 30.0
#: Redeliveries a Ready worker without one ack among them, from which the workers count as failing. A broker's restart
#: gives each worker one; a task that kills its worker gives as many as there are tries.
REDELIVERIES_PER_WORKER = 3


@dataclass(frozen=True)
class Sample:
    """A queue's running totals since the broker's start, and what is in progress."""

    #: Seconds of the operator's clock.
    time: float
    published: int
    acked: int
    redelivered: int
    messages_unacknowledged: int


@dataclass(frozen=True)
class Estimate:
    """What a row of samples tells."""

    last: Sample | None = None
    #: A second, averaged; None: fewer than two samples.
    arrivals: float | None = None
    acks: float = 0.0
    unacknowledged: float = 0.0
    redelivered_since_ack: int = 0

    def updated(self, sample: Sample) -> "Estimate":
        """With one more sample; totals that went back are those of a restarted broker and start anew."""
        last = self.last
        if last is None or sample.time <= last.time or _went_back(last, sample):
            return Estimate(sample, unacknowledged=float(sample.messages_unacknowledged))
        seconds = sample.time - last.time
        if seconds < 1.0:  # too little for a rate
            return self
        keep = 0.0 if self.arrivals is None else 0.5 ** (seconds / HALF_LIFE_SECONDS)
        since = 0 if sample.acked > last.acked else self.redelivered_since_ack + sample.redelivered - last.redelivered
        return Estimate(
            last=sample,
            arrivals=_average(self.arrivals or 0.0, (sample.published - last.published) / seconds, keep),
            acks=_average(self.acks, (sample.acked - last.acked) / seconds, keep),
            unacknowledged=_average(
                self.unacknowledged, (sample.messages_unacknowledged + last.messages_unacknowledged) / 2, keep
            ),
            redelivered_since_ack=since,
        )

    def is_fresh(self, now: float) -> bool:
        """Whether the last sample is recent."""
        return self.last is not None and 0 <= now - self.last.time <= STALE_SECONDS

    def rates(self, now: float) -> Rates | None:
        """The rates, or None while they are not known: no fresh samples, or nothing was acked."""
        if self.arrivals is None or self.acks < 1e-6 or self.unacknowledged <= 0 or not self.is_fresh(now):
            return None
        return Rates(self.arrivals, self.unacknowledged / self.acks)

    def failing(self, now: float, workers_ready: int) -> str | None:
        """What is wrong when tasks only come back; None when acks come, or nothing is known."""
        least = REDELIVERIES_PER_WORKER * max(1, workers_ready)
        if self.redelivered_since_ack < least or not self.is_fresh(now):
            return None
        return f"{self.redelivered_since_ack} redeliveries and no ack among them"


def _went_back(last: Sample, sample: Sample) -> bool:
    pairs = ((last.published, sample.published), (last.acked, sample.acked), (last.redelivered, sample.redelivered))
    return any(after < before for before, after in pairs)


def _average(old: float, new: float, keep: float) -> float:
    return keep * old + (1 - keep) * new
