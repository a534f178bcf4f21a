"""How a queue moves: arrival rate, service time and redeliveries without acks, from the broker's running totals. Pure.

What is old fades. Work and acks fade together, so that their quotient, the service time, is one of the same time.
"""

import math
from dataclasses import dataclass, replace

from workqueue_operator.scaling.demand import NoRates, Rates

#: Seconds after which a sample counts half: long against the broker's 5 s statistics, short against a shift.
HALF_LIFE_SECONDS = 15.0
#: Acks after which one counts half, where that takes longer: of tasks that take minutes, a quarter of one ack and of
#: the work for it are no service time.
HALF_LIFE_ACKS = 10
#: Arrivals count for at least as long as a task takes, up to so many seconds: how many are in progress at once depends
#: on as long a time, and one task an hour is no rush in the seconds after it came.
LONGEST_HALF_LIFE_SECONDS = 120.0
#: Tasks a second that count as none: an average that fades never reaches zero by itself.
LEAST_ARRIVALS = 1e-3
#: Seconds without a new sample after which nothing is known any more.
STALE_SECONDS = 30.0
#: Redeliveries a Ready worker without one ack among them, from which the workers count as failing. A broker's restart
#: gives each worker one; a task that kills its worker gives as many as there are tries.
REDELIVERIES_PER_WORKER = 3
#: Seconds after which a redelivery counts half: where no worker takes tasks any more, no ack can end the count.
REDELIVERY_HALF_LIFE_SECONDS = 300.0

NOT_ASKED = NoRates("the management API was not asked yet")
NOT_ACKED = NoRates("no task was acked yet")
NO_NUMBERS = NoRates("the management API has no numbers of this queue yet")


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
    """What a row of samples shows."""

    last: Sample | None = None
    #: A second, averaged; None: fewer than two samples.
    arrivals: float | None = None
    #: Seconds of work and acked tasks, both fading: their quotient is the service time.
    work_seconds: float = 0.0
    acks: float = 0.0
    #: Redeliveries since the last ack, fading.
    redelivered_since_ack: float = 0.0
    #: Seconds of the clock; the last sample that had acks. None: none had.
    acked_at: float | None = None
    #: Why there are no rates, whenever there are none.
    no_rates: NoRates = NOT_ASKED

    def updated(self, sample: Sample) -> "Estimate":
        """With one more sample; totals that went back come from a restarted broker: the estimate starts again."""
        last = self.last
        if last is None or sample.time <= last.time or _went_back(last, sample):
            return Estimate(sample, no_rates=NOT_ACKED)
        seconds, acked = sample.time - last.time, sample.acked - last.acked
        if seconds < 1.0:  # too little for a rate
            return replace(self, no_rates=NOT_ACKED)
        kept = max(math.exp2(-seconds / HALF_LIFE_SECONDS), math.exp2(-acked / HALF_LIFE_ACKS))
        in_progress = (sample.messages_unacknowledged + last.messages_unacknowledged) / 2
        still = self.redelivered_since_ack * math.exp2(-seconds / REDELIVERY_HALF_LIFE_SECONDS)
        return Estimate(
            last=sample,
            arrivals=self._arrivals_with((sample.published - last.published) / seconds, seconds),
            work_seconds=kept * self.work_seconds + in_progress * seconds,
            acks=kept * self.acks + acked,
            redelivered_since_ack=0.0 if acked else still + sample.redelivered - last.redelivered,
            acked_at=sample.time if acked else self.acked_at,
            no_rates=NOT_ACKED,
        )

    def without_sample(self, why: NoRates) -> "Estimate":
        """After a look that gave no sample. The samples before it count for as long as they are fresh."""
        return replace(self, no_rates=why)

    def _arrivals_with(self, rate: float, seconds: float) -> float:
        if self.arrivals is None:
            return rate
        task_seconds = self.work_seconds / self.acks if self.acks else 0.0
        half_life = max(HALF_LIFE_SECONDS, min(task_seconds, LONGEST_HALF_LIFE_SECONDS))
        kept = math.exp2(-seconds / half_life)
        arrivals = kept * self.arrivals + (1 - kept) * rate
        return arrivals if arrivals >= LEAST_ARRIVALS else 0.0

    def is_fresh(self, now: float) -> bool:
        """Whether the last sample is recent."""
        return self.last is not None and 0 <= now - self.last.time <= STALE_SECONDS

    def rates(self, now: float) -> Rates | NoRates:
        """The rates; they need fresh samples, and at least one ack among them."""
        if self.arrivals is None or not self.acks or not self.work_seconds or not self.is_fresh(now):
            return self.no_rates
        return Rates(self.arrivals, self.work_seconds / self.acks)

    def failing(self, now: float, workers_ready: int) -> str | None:
        """What is wrong when tasks only come back; None when acks come, or nothing is known."""
        least = REDELIVERIES_PER_WORKER * max(1, workers_ready)
        if self.redelivered_since_ack < least or not self.is_fresh(now):
            return None
        return f"{self.redelivered_since_ack:.0f} redeliveries and no ack among them"


def _went_back(last: Sample, sample: Sample) -> bool:
    pairs = ((last.published, sample.published), (last.acked, sample.acked), (last.redelivered, sample.redelivered))
    return any(after < before for before, after in pairs)
