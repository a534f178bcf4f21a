"""The decision: how many workers, and why. `_decided` has the rules in their order; the first that holds names it.

Pure: no clock, no I/O, no logging. The log line, the Event, the conditions, the status and the metrics are all made
from the one ScalingDecision that comes out.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from workqueue_operator.resource import ScalingPolicy
from workqueue_operator.scaling.demand import Counts, Demand, demand_of
from workqueue_operator.scaling.history import History


class Reason(StrEnum):
    """Why the decision is what it is: the word that users see in status, Events, metrics and logs."""

    PAUSED = "Paused"
    QUEUE_UNKNOWN = "QueueUnknown"
    FALLBACK = "Fallback"
    SCALED_MANUALLY = "ScaledManually"
    WORKERS_FAILING = "WorkersFailing"
    STEP_LIMITED = "StepLimited"
    BACKLOG = "Backlog"
    AT_MAX_REPLICAS = "AtMaxReplicas"
    AT_MIN_REPLICAS = "AtMinReplicas"
    STEADY = "Steady"
    FIRST_WINDOW = "FirstWindow"
    STABILIZED = "Stabilized"
    ROLLOUT = "RolloutInProgress"
    WORKERS_BUSY = "WorkersBusy"
    WORKERS_SILENT = "WorkersSilent"
    WORKERS_NOT_ASKED = "WorkersNotAsked"
    DRAINED = "BacklogDrained"


@dataclass(frozen=True)
class Unknown:
    """No reading. Never a number: a queue that cannot be read is not an empty one."""

    #: One word of a bounded set, for the condition and the metric.
    cause: str
    message: str


@dataclass(frozen=True)
class Workers:
    """The Deployment as it is."""

    #: Its spec.replicas.
    replicas: int
    #: Its status.readyReplicas.
    ready: int
    #: Pods of more than one template, as far as the Deployment has counted them.
    rolling_out: bool = False
    #: How many can go without one being stopped that is at work or gives no answer; None: not asked.
    removable: int | None = None
    #: How many answered that they are at work, and how many gave no answer, when they were asked.
    busy: int = 0
    silent: int = 0
    #: Where a worker is asked, on its pod's IP.
    page: str = ":8000/metrics"
    #: Why more workers would not help (crash loop, redeliveries without acks); None: they work.
    failing: str | None = None


@dataclass(frozen=True)
class ManualSize:
    """A size that a person or another tool gave the Deployment."""

    replicas: int
    #: Where it came from: a raised size is kept as the least, a lowered one as the most.
    raised: bool
    #: Seconds for which such a size is kept.
    kept_seconds: float
    #: The field manager that set it, such as kubectl or argocd-controller; "": not known.
    by: str = ""

    @property
    def origin(self) -> str:
        """What set the size, and for how long it is kept."""
        return f"which {self.by or 'something other than the operator'} set, for {self.kept_seconds:.0f} s"


#: The cause of an Unknown: 0 and 0 that need not be true.
NO_LEADER = "NoLeader"
#: What lets the operator distinguish an empty queue from one without a leader.
LEADER_REMEDY = "with management_uri in the Secret the operator asks RabbitMQ for the leader"
#: A worker that is started although the workers fail: without any, nothing could show that they work again.
PROBE_REPLICAS = 1


@dataclass(frozen=True)
class ScalingDecision:
    """How many workers to run now, and why."""

    #: What spec.replicas should be now.
    replicas: int
    #: What the queue asks for within min and max, before steps, window and busy workers have their say.
    wanted: int
    reason: Reason
    #: One sentence with the numbers put in.
    message: str
    #: A scale-down is due and waits only for the workers to be asked which of them are idle.
    ask_workers: bool = False
    #: The reading that it was made from, as `decide` judged it: Unknown when its numbers cannot be believed.
    reading: Counts | Unknown | None = None

    def differs_from(self, other: "ScalingDecision | None") -> bool:
        """Whether it is worth an Event: another size or another reason. Counts alone are not."""
        return other is None or (self.replicas, self.reason) != (other.replicas, other.reason)


@dataclass(frozen=True)
class Situation:
    """What the decision looks at, beside the policy and the history."""

    reading: Counts | Unknown
    workers: Workers
    manual: ManualSize | None = None
    #: `spec.mode: Paused`.
    paused: bool = False


def decide(policy: ScalingPolicy, situation: Situation, history: History, now: float) -> ScalingDecision:
    """How many workers to run at `now` (seconds of the clock that `history` was written with).

    This is where a pass judges its reading; the decision carries what was believed.
    """
    reading = readable(situation.reading, situation.workers, history.in_use)
    return replace(_decided(policy, replace(situation, reading=reading), history, now), reading=reading)


def _decided(policy: ScalingPolicy, situation: Situation, history: History, now: float) -> ScalingDecision:
    """The rules in their order; the first that holds gives the decision."""
    workers, reading = situation.workers, situation.reading
    if situation.paused:
        return _paused(policy, reading, workers)
    if isinstance(reading, Unknown):
        return _without_reading(policy, reading, situation, history.unknown_for(now))
    demand, manual = demand_of(policy, reading, workers.replicas), situation.manual
    bounded = min(max(demand.replicas, policy.min_replicas), policy.max_replicas)
    kept = _kept_by_hand(manual, bounded)
    if manual and kept != bounded:
        if kept == workers.replicas:
            return _manual(manual, bounded, demand)
        by = manual.by or "something other than the operator"
        bounded, demand = kept, replace(demand, formula=f"{demand.formula}, but {by} set {kept}")
    if bounded > workers.replicas:
        return _scale_up(policy, workers, bounded, demand)
    if bounded == workers.replicas:
        return _stay(policy, bounded, demand)
    return _scale_down(policy, situation, bounded, demand, history, now)


def readable(reading: Counts | Unknown, workers: Workers, in_use: bool) -> Counts | Unknown:
    """The reading, or Unknown when its numbers cannot be true, or need not be.

    A quorum queue without a leader answers 0 ready and 0 consumers (RabbitMQ rabbit_quorum_queue.erl stat/2), and its
    workers, cut off, stop being Ready. So while there are workers that answer is no empty queue when some of them are
    Ready, as these consume, or when the queue was `in_use`: the last counts that could be believed were others. Without
    workers there is nothing to hold, nothing should consume, and a queue that was just made looks the same. A classic
    queue has no leader to lose, and of a quorum queue the management API may show one.
    """
    if isinstance(reading, Unknown):
        return reading
    ready, consumers = reading.messages_ready, reading.consumers
    if ready < 0 or consumers < 0:
        text = f"the broker counts {ready} ready messages and {consumers} consumers, which cannot be"
        return Unknown("CountMissing", text)
    if (ready, consumers) != (0, 0) or workers.replicas == 0 or reading.has_leader:
        return reading
    if workers.ready > 0:
        words = (
            f"while {workers.ready} of {workers.replicas} workers are Ready: the queue has no leader, or the workers "
            f"take from another queue or fetch without a consumer; {LEADER_REMEDY}"
        )
        return Unknown(NO_LEADER, f"the broker answers 0 messages and 0 consumers {words}")
    if in_use:
        words = (
            f"and none of {workers.replicas} workers is Ready: the queue has no leader, or its workers do not run; "
            f"if it is empty, fix them or scale the Deployment to 0; {LEADER_REMEDY}"
        )
        return Unknown(NO_LEADER, f"the broker answers 0 messages and 0 consumers {words}")
    return reading


def _paused(policy: ScalingPolicy, reading: Counts | Unknown, workers: Workers) -> ScalingDecision:
    current = workers.replicas
    asked = reading.message if isinstance(reading, Unknown) else demand_of(policy, reading, current).formula
    return ScalingDecision(
        current, current, Reason.PAUSED, f"{current} left alone, mode is Paused; the queue asks: {asked}"
    )


def _without_reading(policy: ScalingPolicy, unknown: Unknown, situation: Situation, seconds: float) -> ScalingDecision:
    current, fallback, manual = situation.workers.replicas, policy.fallback, situation.manual
    held = max(current, policy.min_replicas)
    reason, text = Reason.QUEUE_UNKNOWN, f"queue unknown, {held} workers held"
    if fallback and seconds >= fallback.after_seconds:
        held = max(held, min(fallback.replicas, policy.max_replicas))
        reason = Reason.FALLBACK
        text = f"queue unknown for {fallback.after_seconds} s, at least {fallback.replicas} workers"
    kept = max(current, _kept_by_hand(manual, held))
    if manual and kept < held:  # a person lowered it, to protect something that the operator does not see
        held, reason = kept, Reason.SCALED_MANUALLY
        text = f"kept at {kept}, {manual.origin}; queue unknown"
    return ScalingDecision(held, held, reason, f"{text}: {unknown.message}")


def _kept_by_hand(manual: ManualSize | None, bounded: int) -> int:
    """What a person set, unless the queue asks for a change in the same direction."""
    if manual is None:
        return bounded
    return max(manual.replicas, bounded) if manual.raised else min(manual.replicas, bounded)


def _manual(manual: ManualSize, bounded: int, demand: Demand) -> ScalingDecision:
    text = f"kept at {manual.replicas}, {manual.origin}; the queue asks: {demand.formula}"
    return ScalingDecision(manual.replicas, bounded, Reason.SCALED_MANUALLY, text)


def _scale_up(policy: ScalingPolicy, workers: Workers, bounded: int, demand: Demand) -> ScalingDecision:
    if workers.failing and bounded > max(policy.min_replicas, PROBE_REPLICAS):
        held = max(workers.replicas, policy.min_replicas, PROBE_REPLICAS)
        text = f"no more than {held} while the workers fail ({workers.failing}); the queue asks: {demand.formula}"
        return ScalingDecision(held, bounded, Reason.WORKERS_FAILING, text)
    step = policy.scale_up_max_step
    if step and bounded > workers.replicas + step:
        replicas = max(workers.replicas + step, min(policy.min_replicas, bounded))
        text = f"{workers.replicas} -> {replicas}, at most {step} more in one step; the queue asks: {demand.formula}"
        return ScalingDecision(replicas, bounded, Reason.STEP_LIMITED, text)
    if demand.replicas < bounded == policy.min_replicas:
        text = f"{workers.replicas} -> {bounded}, minReplicas; asked: {demand.formula}"
        return ScalingDecision(bounded, bounded, Reason.AT_MIN_REPLICAS, text)
    text = f"{workers.replicas} -> {bounded}: {demand.formula}{_bounds(policy, bounded)}"
    return ScalingDecision(bounded, bounded, Reason.BACKLOG, text)


def _stay(policy: ScalingPolicy, bounded: int, demand: Demand) -> ScalingDecision:
    if demand.replicas > bounded:
        text = f"{bounded} is maxReplicas; asked: {demand.formula}"
        return ScalingDecision(bounded, bounded, Reason.AT_MAX_REPLICAS, text)
    if demand.replicas < bounded:
        text = f"{bounded} is minReplicas; asked: {demand.formula}"
        return ScalingDecision(bounded, bounded, Reason.AT_MIN_REPLICAS, text)
    text = f"{bounded} as asked: {demand.formula}{_bounds(policy, bounded)}"
    return ScalingDecision(bounded, bounded, Reason.STEADY, text)


def _scale_down(
    policy: ScalingPolicy, situation: Situation, bounded: int, demand: Demand, history: History, now: float
) -> ScalingDecision:
    current, window = situation.workers.replicas, policy.scale_down_stabilization_seconds
    floor = min(current, max(bounded, history.highest_wish(now, window)))
    formula = demand.formula + (_bounds(policy, bounded) if bounded != demand.replicas else "")
    if not history.has_seen_whole_window(now, window, policy.poll_period_seconds):
        text = f"{current} held until one window of {window} s has been watched; the queue asks: {formula}"
        return ScalingDecision(current, bounded, Reason.FIRST_WINDOW, text)
    if floor == current:
        text = f"{current} held, asked for within the last {window} s; now: {formula}"
        return ScalingDecision(current, bounded, Reason.STABILIZED, text)
    if situation.workers.rolling_out:
        text = f"{current} held during the Deployment's rollout; the queue asks: {formula}"
        return ScalingDecision(current, bounded, Reason.ROLLOUT, text)
    wish = f", asked for within the last {window} s" if floor > bounded else ""
    return _scale_down_by_idle(situation.workers, floor, bounded, formula, wish)


def _scale_down_by_idle(workers: Workers, floor: int, bounded: int, formula: str, wish: str) -> ScalingDecision:
    """`wish`: why the size goes down to `floor`, and not to what the formula asks for; "" where it does."""
    current, removable = workers.replicas, workers.removable
    replicas, asks = max(floor, current - (removable or 0)), "the queue asks now" if wish else "the queue asks"
    if replicas == floor:
        text = f"{current} -> {floor}{wish}; {asks}: {formula}" if wish else f"{current} -> {floor}: {formula}"
        return ScalingDecision(floor, bounded, Reason.DRAINED, text)
    reason, why = _what_holds(workers, replicas, floor)
    size = f"{replicas} kept" if replicas == current else f"{current} -> {replicas}"
    text = f"{size}, {floor} would do{wish}: {why}; {asks}: {formula}"
    return ScalingDecision(replicas, bounded, reason, text, ask_workers=removable is None)


def _what_holds(workers: Workers, replicas: int, floor: int) -> tuple[Reason, str]:
    """Why a scale-down ends at `replicas`, above `floor`."""
    if workers.removable is None:
        return Reason.WORKERS_NOT_ASKED, "the workers were not asked yet which of them are idle"
    if workers.silent and replicas > max(floor, workers.busy):  # without silence it would go further
        return Reason.WORKERS_SILENT, silence(workers)
    can_go = f"{workers.removable} of {workers.replicas} can go without stopping a worker at work"
    return Reason.WORKERS_BUSY, f"{workers.busy} at work, {can_go}"


def silence(workers: Workers) -> str:
    """How many workers gave no answer, where, and what helps."""
    return (
        f"{workers.silent} of {workers.replicas} workers gave no answer at {workers.page}, and stay as they may be at "
        "work: serve the gauge workqueue_tasks_in_progress there, set spec.workers.metricsPort, or let the operator "
        "through to that port"
    )


def _bounds(policy: ScalingPolicy, replicas: int) -> str:
    if replicas == policy.max_replicas:
        return ", maxReplicas"
    return ", minReplicas" if replicas == policy.min_replicas else ""
