"""The decision: how many workers, and why. Its rules stand in `decide` in their order; the first that holds names it.

Pure: no clock, no I/O, no logging. The log line, the Event, the conditions, the status and the metrics are all made
from the one ScalingDecision that comes out.
"""

from dataclasses import dataclass
from enum import StrEnum

from workqueue_operator.demand import Counts, wanted_replicas
from workqueue_operator.history import History
from workqueue_operator.resource import ScalingPolicy


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
    #: Pods of more than one template, or a template the Deployment has not looked at yet.
    rolling_out: bool = False
    #: How many can go without a busy one being stopped; None: not asked. A worker that does not answer is busy.
    removable: int | None = None
    #: Why more workers would not help (crash loop, redeliveries without acks); None: they work.
    failing: str | None = None


@dataclass(frozen=True)
class ManualSize:
    """A size that a person gave the Deployment."""

    replicas: int
    #: Where it came from: a raised size is kept as the least, a lowered one as the most.
    raised: bool
    #: Seconds for which such a size is kept.
    kept_seconds: float


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
    #: A shrink is due and waits only for the workers to be asked which of them are idle.
    ask_workers: bool = False

    def differs_from(self, other: "ScalingDecision | None") -> bool:
        """Whether it is worth telling: another size or another reason. Counts alone are not."""
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
    """How many workers to run at `now` (seconds of the clock that `history` was written with)."""
    reading, workers = readable(situation.reading, situation.workers), situation.workers
    if situation.paused:
        return _paused(policy, reading, workers)
    if isinstance(reading, Unknown):
        return _without_reading(policy, reading, workers, history.unknown_for(now))
    wanted, formula = wanted_replicas(policy, reading, workers.replicas)
    bounded = min(max(wanted, policy.min_replicas), policy.max_replicas)
    kept = _kept_by_hand(situation.manual, bounded)
    if kept != bounded:
        if kept == workers.replicas:
            return _manual(kept, bounded, situation.manual, formula)
        bounded, formula = kept, f"{formula}, but {kept} was set by hand"
    if bounded > workers.replicas:
        return _grow(policy, workers, bounded, formula, needed=wanted >= bounded)
    if bounded == workers.replicas:
        return _stay(policy, wanted, bounded, formula)
    return _shrink(policy, situation, bounded, formula, history, now)


def readable(reading: Counts | Unknown, workers: Workers) -> Counts | Unknown:
    """The reading, or Unknown when its numbers cannot be true.

    A quorum queue without a leader answers 0 ready and 0 consumers (RabbitMQ rabbit_quorum_queue.erl stat/2);
    workers that are Ready consume, so that answer is not an empty queue.
    """
    if isinstance(reading, Unknown):
        return reading
    if reading.messages_ready < 0 or reading.consumers < 0:
        return Unknown("CountMissing", f"the broker counts {reading.messages_ready} ready messages, which cannot be")
    if reading.messages_ready == 0 and reading.consumers == 0 and workers.ready > 0:
        return Unknown(
            "NoLeader",
            f"the broker answers 0 messages and 0 consumers while {workers.ready} workers are Ready: "
            "the queue has no leader, or the workers take from another queue",
        )
    return reading


def _paused(policy: ScalingPolicy, reading: Counts | Unknown, workers: Workers) -> ScalingDecision:
    current = workers.replicas
    asked = reading.message if isinstance(reading, Unknown) else wanted_replicas(policy, reading, current)[1]
    return ScalingDecision(
        current, current, Reason.PAUSED, f"{current} left alone, mode is Paused; the queue asks: {asked}"
    )


def _without_reading(policy: ScalingPolicy, unknown: Unknown, workers: Workers, seconds: float) -> ScalingDecision:
    held = max(workers.replicas, policy.min_replicas)
    fallback = policy.fallback
    if fallback and seconds >= fallback.after_seconds:
        lifted = max(held, min(fallback.replicas, policy.max_replicas))
        text = f"queue unknown for {fallback.after_seconds} s, at least {fallback.replicas} workers: {unknown.message}"
        return ScalingDecision(lifted, lifted, Reason.FALLBACK, text)
    return ScalingDecision(held, held, Reason.QUEUE_UNKNOWN, f"queue unknown, {held} workers held: {unknown.message}")


def _kept_by_hand(manual: ManualSize | None, bounded: int) -> int:
    """What a person set, unless the queue asks for a change in the same direction."""
    if manual is None:
        return bounded
    return max(manual.replicas, bounded) if manual.raised else min(manual.replicas, bounded)


def _manual(kept: int, bounded: int, manual: ManualSize | None, formula: str) -> ScalingDecision:
    seconds = manual.kept_seconds if manual else 0.0
    text = f"kept at {kept} as scaled by hand, for {seconds:.0f} s; the queue asks: {formula}"
    return ScalingDecision(kept, bounded, Reason.SCALED_MANUALLY, text)


def _grow(policy: ScalingPolicy, workers: Workers, bounded: int, formula: str, *, needed: bool) -> ScalingDecision:
    if workers.failing and bounded > policy.min_replicas:
        held = max(workers.replicas, policy.min_replicas)
        text = f"no more than {held} while the workers fail ({workers.failing}); the queue asks: {formula}"
        return ScalingDecision(held, bounded, Reason.WORKERS_FAILING, text)
    step = policy.scale_up_max_step
    if step and bounded > workers.replicas + step:
        replicas = max(workers.replicas + step, policy.min_replicas)
        text = f"{workers.replicas} -> {replicas}, at most {step} more in one step; the queue asks: {formula}"
        return ScalingDecision(replicas, bounded, Reason.STEP_LIMITED, text)
    if not needed and bounded == policy.min_replicas:
        text = f"{workers.replicas} -> {bounded}, minReplicas; asked: {formula}"
        return ScalingDecision(bounded, bounded, Reason.AT_MIN_REPLICAS, text)
    text = f"{workers.replicas} -> {bounded}: {formula}{_bounds(policy, bounded)}"
    return ScalingDecision(bounded, bounded, Reason.BACKLOG, text)


def _stay(policy: ScalingPolicy, wanted: int, bounded: int, formula: str) -> ScalingDecision:
    if wanted > bounded:
        return ScalingDecision(bounded, bounded, Reason.AT_MAX_REPLICAS, f"{bounded} is maxReplicas; asked: {formula}")
    if wanted < bounded:
        return ScalingDecision(bounded, bounded, Reason.AT_MIN_REPLICAS, f"{bounded} is minReplicas; asked: {formula}")
    return ScalingDecision(bounded, bounded, Reason.STEADY, f"{bounded} as asked: {formula}{_bounds(policy, bounded)}")


def _shrink(
    policy: ScalingPolicy, situation: Situation, bounded: int, formula: str, history: History, now: float
) -> ScalingDecision:
    current, window = situation.workers.replicas, policy.scale_down_stabilization_seconds
    floor = min(current, max(bounded, history.highest_wish(now, window)))
    if not history.has_seen_whole_window(now, window):
        text = f"{current} held until one window of {window} s has been watched; the queue asks: {formula}"
        return ScalingDecision(current, bounded, Reason.FIRST_WINDOW, text)
    if floor == current:
        text = f"{current} held, asked for within the last {window} s; now: {formula}"
        return ScalingDecision(current, bounded, Reason.STABILIZED, text)
    if situation.workers.rolling_out:
        text = f"{current} held during the Deployment's rollout; the queue asks: {formula}"
        return ScalingDecision(current, bounded, Reason.ROLLOUT, text)
    return _shrink_by_idle(situation.workers, floor, bounded, formula)


def _shrink_by_idle(workers: Workers, floor: int, bounded: int, formula: str) -> ScalingDecision:
    current, removable = workers.replicas, workers.removable
    replicas = max(floor, current - (removable or 0))
    if replicas == floor:
        return ScalingDecision(floor, bounded, Reason.DRAINED, f"{current} -> {floor}: {formula}")
    known = "the workers were not asked yet" if removable is None else f"{removable} of {current} can go, the rest work"
    text = f"{current} -> {replicas} of {floor} wanted: {known}; the queue asks: {formula}"
    return ScalingDecision(replicas, bounded, Reason.WORKERS_BUSY, text, ask_workers=removable is None)


def _bounds(policy: ScalingPolicy, replicas: int) -> str:
    if replicas == policy.max_replicas:
        return ", maxReplicas"
    return ", minReplicas" if replicas == policy.min_replicas else ""
