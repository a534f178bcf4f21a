"""What the passes over one WorkQueue leave to the next ones. In memory alone: it begins with the operator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workqueue_operator.cluster.refusals import Refusal
from workqueue_operator.resource import ScalingPolicy
from workqueue_operator.scaling.decision import ManualSize, ScalingDecision, Unknown
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
class Memory:
    """What the passes over one WorkQueue leave to the next ones."""

    history: History = field(default_factory=History)
    #: The Deployment; with another UID it is another one. None: not seen yet.
    target_uid: str | None = None
    #: The replicas we last asked for; a Deployment that has others was scaled by somebody else. None: not yet known.
    asked_replicas: int | None = None
    unanswered: UnconfirmedScale | None = None
    #: The Deployment's replicas after the last pass.
    replicas: int | None = None
    #: A size that somebody else gave it, and until when (seconds of the clock) it is kept.
    manual: ManualSize | None = None
    manual_until: float = 0.0
    #: Until when another operator of our name counts as present (seconds of the clock).
    rival_until: float = 0.0
    decision: ScalingDecision | None = None
    held: ScaleDownRound | None = None
    #: Workers that gave no answer when they were last asked; None: all answered.
    silence: Silence | None = None
    #: The deletion costs that pods had before our mark, by UID of those that bear it as far as we know.
    marks: dict[str, int] = field(default_factory=dict)
    #: Seconds of the clock before which marks that could not be taken away are left alone.
    unmark_at: float = float("-inf")
    #: What the API server refused the last passes, and what it refused to write of them; None: nothing.
    refusal: Refusal | None = None
    unwritten: Refusal | None = None
    #: Seconds of the clock before which no pass is made, after one that failed in a way that nothing foresaw.
    retry_at: float = 0.0
    #: How the pods were over the last looks at them, and when that was.
    health: Health = field(default_factory=Health)
    health_checked_at: float = float("-inf")
    #: Messages that wait beside Ready workers while nothing consumes; None: not so.
    unconsumed: Unconsumed | None = None
    #: Another autoscaler on the Deployment, and when that was last looked for.
    autoscaler: str | None = None
    autoscaler_checked_at: float = float("-inf")
    #: The last reading and when it was made.
    reading: Counts | Unknown | None = None
    read_at: float | None = None
    #: What changed the Deployment and is not in the status yet, oldest first.
    changes: list[Change] = field(default_factory=list)
    #: The status as last written, and when.
    status: dict[str, Any] = field(default_factory=dict)
    status_written_at: float = float("-inf")
    #: The conditions after the last pass, which the stored status may not have yet.
    conditions: Sequence[Mapping[str, Any]] = ()
    totals: Totals = field(default_factory=Totals)

    def meet(self, target_uid: str) -> None:
        """A Deployment that was deleted and made again was scaled by nobody, and its pods are others."""
        if self.target_uid not in (None, target_uid):
            self.asked_replicas = self.unanswered = self.manual = self.held = self.silence = None
        self.target_uid = target_uid

    def remember(self, decision: ScalingDecision, ready: int, now: float, policy: ScalingPolicy) -> None:
        """Keep what was wanted; a queue that could not be read wants what is there."""
        reading = decision.reading
        known = isinstance(reading, Counts)
        history = self.history.saw(reading, ready) if isinstance(reading, Counts) else self.history
        window, poll = policy.scale_down_stabilization_seconds, policy.poll_period_seconds
        self.history = history.remember(now, decision.wanted, window, known=known, poll_seconds=poll)
