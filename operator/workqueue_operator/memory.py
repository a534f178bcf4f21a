"""What the passes over one WorkQueue leave to the next ones. In memory alone: it begins with the operator.

There is one value for each module that writes it, so that a function which changes one is handed no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workqueue_operator.cluster.refusals import Refusal
from workqueue_operator.resource import ScalingPolicy
from workqueue_operator.scaling.decision import ManualSize, ScalingDecision
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.scaling.history import History
from workqueue_operator.scaling.worker_health import Health, Silence, Unconsumed
from workqueue_operator.status.next_status import Change
from workqueue_operator.totals import Totals


@dataclass(frozen=True)
class UnconfirmedScale:
    """A scale of ours whose answer is missing: it was carried out, or not, or will be."""

    replicas: int
    #: Seconds of the clock after which no API server still carries it out.
    until: float


@dataclass
class KnownSize:
    """Which size of the Deployment is ours, and which another's. Written by gather, and by apply at its scales."""

    #: The Deployment; with another UID it is another one. None: not seen yet.
    target_uid: str | None = None
    #: The replicas we last asked for; when the Deployment has others, another program scaled it. None: not yet known.
    asked_replicas: int | None = None
    unconfirmed: UnconfirmedScale | None = None
    #: A size that a person or another tool set, and until when (seconds of the clock) it is kept.
    manual: ManualSize | None = None
    manual_until: float = 0.0
    #: Until when another operator of our name counts as present (seconds of the clock).
    rival_until: float = 0.0


@dataclass
class Looks:
    """What gather looks at now and then only, and when (seconds of the clock)."""

    #: How the pods were over the last looks at them.
    health: Health = field(default_factory=Health)
    health_at: float = float("-inf")
    #: Messages that wait beside Ready workers while nothing consumes; None: not so.
    unconsumed: Unconsumed | None = None
    #: Another autoscaler on the Deployment.
    autoscaler: str | None = None
    autoscaler_at: float = float("-inf")


@dataclass(frozen=True)
class ScaleDownRound:
    """What came of asking the workers; it stands while they are not asked again."""

    decision: ScalingDecision
    #: The Deployment's size that it was decided for.
    replicas: int
    #: Over all workers that answered.
    tasks_in_progress: int | None
    #: Seconds of the clock before which workers are not asked again.
    until: float


@dataclass
class WorkerAnswers:
    """What the workers last answered. Written by scale_down; forgotten when they are gone."""

    round: ScaleDownRound | None = None
    #: Workers that gave no answer when they were last asked; None: all answered.
    silence: Silence | None = None


@dataclass
class Marks:
    """The pods that bear a mark of ours, as far as we know. Written by marks."""

    #: The deletion costs that they had before, by UID.
    costs: dict[str, int] = field(default_factory=dict)
    #: Seconds of the clock before which marks that could not be removed are left alone.
    retry_at: float = float("-inf")


@dataclass
class Reported:
    """What people can read of the WorkQueue. Written by report."""

    decision: ScalingDecision | None = None
    #: The Deployment's replicas after the last pass.
    replicas: int | None = None
    #: The conditions after the last pass, which the stored status may not have yet.
    conditions: Sequence[Mapping[str, Any]] = ()
    #: What changed the Deployment and is not in the status yet, oldest first.
    changes: list[Change] = field(default_factory=list)
    #: The status as last written, and when.
    status: dict[str, Any] = field(default_factory=dict)
    written_at: float = float("-inf")
    #: Conditions that a posted Warning reported, and that no posted Event has reported to be True again.
    open_warnings: frozenset[str] = frozenset()
    #: What the API server refused to write; None: nothing.
    refusal: Refusal | None = None


@dataclass
class Memory:
    """What the passes over one WorkQueue leave to the next ones."""

    #: Written by reconcile, with `remember`, and what the API server refused its last passes; None: nothing.
    history: History = field(default_factory=History)
    refusal: Refusal | None = None
    size: KnownSize = field(default_factory=KnownSize)
    looks: Looks = field(default_factory=Looks)
    answers: WorkerAnswers = field(default_factory=WorkerAnswers)
    marks: Marks = field(default_factory=Marks)
    reported: Reported = field(default_factory=Reported)
    #: Written by apply and the victim watch.
    totals: Totals = field(default_factory=Totals)

    def meet(self, target_uid: str) -> None:
        """Take in which Deployment it is: one that was deleted and made again has other pods, and no size of ours."""
        if self.size.target_uid not in (None, target_uid):
            self.size, self.answers = KnownSize(rival_until=self.size.rival_until), WorkerAnswers()
        self.size.target_uid = target_uid

    def remember(self, decision: ScalingDecision, ready: int, now: float, policy: ScalingPolicy) -> None:
        """Keep what was wanted; a queue that could not be read wants what is there."""
        reading = decision.reading
        known = isinstance(reading, Counts)
        history = self.history.saw(reading, ready) if isinstance(reading, Counts) else self.history
        window, poll = policy.scale_down_stabilization_seconds, policy.poll_period_seconds
        self.history = history.remember(now, decision.wanted, window, known=known, poll_seconds=poll)
