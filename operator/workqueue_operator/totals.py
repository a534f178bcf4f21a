"""What was done for one WorkQueue since the operator's start, kept with it, so that its series end with it. Pure.

A label of a Prometheus counter would outlive the WorkQueue, and a page of metrics would grow with all that ever were.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from workqueue_operator.scaling.decision import Reason
from workqueue_operator.scaling.victims import State


class Direction(StrEnum):
    """Where a scale goes."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True)
class LastScale:
    """The last time that the operator changed the Deployment's size."""

    reason: Reason
    #: Seconds since 1970.
    time: float


@dataclass
class Totals:
    """Counts of one WorkQueue."""

    scales: Counter[Direction] = field(default_factory=Counter)
    #: None: none since the operator's start.
    last_scale: LastScale | None = None
    #: Workers that left in a scale-down, by what they did when they were asked to.
    victims: Counter[State] = field(default_factory=Counter)

    def scaled(self, before: int, after: int, reason: Reason, time: float) -> None:
        """Count a scale that the API server carried out; `time` in seconds since 1970."""
        self.scales[Direction.UP if after > before else Direction.DOWN] += 1
        self.last_scale = LastScale(reason, time)
