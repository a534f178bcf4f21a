"""The decision: how many workers, and why. Its rules stand in `decide` in their order; the first that holds names it.

Pure: no clock, no I/O, no logging. The log line, the Event, the conditions, the status and the metrics are all made
from the one ScalingDecision that comes out.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from workqueue_operator.history import History
from workqueue_operator.resource import ScalingPolicy

#: A difference up to this share of the workers there are is the rates' noise; the HorizontalPodAutoscaler's tolerance.
TOLERANCE = 0.1
#: More workers than any rates may ask for: keeps their products finite.
MOST = 1e9


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
class Rates:
    """How the queue moves, smoothed, from the management API."""

    #: Messages published a second.
    arrivals_per_second: float
    #: Seconds one worker needs for one message: unacknowledged / ack rate (Little's law).
    service_seconds: float


@dataclass(frozen=True)
class Counts:
    """A queue as the broker just described it."""

    messages_ready: int
    consumers: int
    #: None: not known, for the reason that `no_rates` gives.
    rates: Rates | None = None
    no_rates: str = "the broker's Secret has no management_uri"
    #: None: not known, as only the management API tells.
    messages_unacknowledged: int | None = None


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


def wanted_replicas(policy: ScalingPolicy, counts: Counts, replicas: int) -> tuple[int, str]:
    """What the queue asks for while there are `replicas`, before any bound, and the formula with its numbers."""
    ready = counts.messages_ready
    rates = _usable(counts.rates)
    if policy.drain_seconds and rates:
        wanted, formula = _wanted_to_drain(policy, policy.drain_seconds, rates, ready, replicas)
        return _no_more_than_tasks(policy, counts, rates, wanted, formula)
    wanted = -(-ready // policy.messages_per_replica)
    note = f" (no rates known for drainSeconds: {counts.no_rates})" if policy.drain_seconds else ""
    return wanted, f"{ready} ready / {policy.messages_per_replica} per replica = {wanted}{note}"


def _wanted_to_drain(
    policy: ScalingPolicy, drain_seconds: int, rates: Rates, ready: int, replicas: int
) -> tuple[int, str]:
    arrivals = rates.arrivals_per_second
    seconds = min(rates.service_seconds, float(policy.task_timeout_seconds))
    workers = min(seconds * (arrivals + ready / drain_seconds), MOST)
    formula = f"{seconds:.3g} s a task x ({arrivals:.3g} new/s + {ready} ready / {drain_seconds} s)"
    wanted = math.ceil(_rounded(workers))
    if wanted != replicas and abs(workers - replicas) <= TOLERANCE * replicas:
        return replicas, f"{formula} = {workers:.3g}, within a tenth of {replicas}"
    return wanted, f"{formula} = {wanted}"


def _no_more_than_tasks(
    policy: ScalingPolicy, counts: Counts, rates: Rates, wanted: int, formula: str
) -> tuple[int, str]:
    """At most one worker for each task there is or will be before a worker without one would go."""
    in_progress, window = counts.messages_unacknowledged, policy.scale_down_stabilization_seconds
    if in_progress is None:
        return wanted, formula
    coming = math.floor(min(rates.arrivals_per_second * window, MOST))
    tasks = counts.messages_ready + max(0, in_progress) + coming
    if wanted <= tasks:
        return wanted, formula
    return tasks, f"{formula}, but {tasks} tasks ready, in progress or coming within {window} s"


def _usable(rates: Rates | None) -> Rates | None:
    if rates is None:
        return None
    numbers = (rates.arrivals_per_second, rates.service_seconds)
    sound = all(math.isfinite(number) and number >= 0 for number in numbers) and rates.service_seconds > 0
    return rates if sound else None


def _rounded(replicas: float) -> float:
    """Without the last bits of a float product, so that 3.0000000001 does not ask for a fourth worker."""
    return round(replicas, 6)


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
