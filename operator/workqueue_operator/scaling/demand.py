"""What a queue asks for: its counts, how it moves, and the number of workers that follows, before any bound. Pure."""

import math
from dataclasses import dataclass, field

from workqueue_operator.resource import ScalingPolicy

#: A difference up to this share of the workers there are is the rates' noise; the HorizontalPodAutoscaler's tolerance.
TOLERANCE = 0.1
#: More workers than any rates may ask for: keeps their products finite.
MOST = 1e9


@dataclass(frozen=True)
class Rates:
    """How the queue moves, smoothed, from the management API."""

    #: Messages published a second.
    arrivals_per_second: float
    #: Seconds one worker needs for one message: unacknowledged / ack rate (Little's law).
    service_seconds: float


@dataclass(frozen=True)
class NoRates:
    """How the queue moves is not known."""

    #: Why, as a clause for the decision's message.
    reason: str


NO_MANAGEMENT_URI = NoRates("the broker's Secret has no management_uri")
IMPOSSIBLE_RATES = NoRates("the management API's numbers cannot be true")


@dataclass(frozen=True)
class Counts:
    """A queue as the broker just described it."""

    messages_ready: int
    consumers: int
    rates: Rates | NoRates = NO_MANAGEMENT_URI
    #: None: not known, as only the management API has it.
    messages_unacknowledged: int | None = None
    #: Something beside the counts shows that the queue has a leader: 0 and 0 is an empty queue then.
    has_leader: bool = field(default=False, compare=False)
    #: Seconds of the operator's clock at which the broker was asked.
    asked_at: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Demand:
    """What a queue asks for, before any bound."""

    replicas: int
    #: How that follows, with the numbers put in.
    formula: str


def demand_of(policy: ScalingPolicy, counts: Counts, replicas: int) -> Demand:
    """What the queue asks for while there are `replicas`."""
    ready, rates = counts.messages_ready, _usable(counts.rates)
    if policy.drain_seconds and isinstance(rates, Rates):
        demand = _demand_to_drain(policy, policy.drain_seconds, rates, ready, replicas)
        return _no_more_than_tasks(policy, counts, rates, demand)
    wanted = -(-ready // policy.messages_per_replica)
    note = ""
    if policy.drain_seconds and isinstance(rates, NoRates):
        note = f" (no rates known for drainSeconds: {rates.reason})"
    return Demand(wanted, f"{ready} ready / {policy.messages_per_replica} per replica = {wanted}{note}")


def _demand_to_drain(policy: ScalingPolicy, drain_seconds: int, rates: Rates, ready: int, replicas: int) -> Demand:
    arrivals = rates.arrivals_per_second
    seconds = min(rates.service_seconds, float(policy.task_timeout_seconds))
    workers = min(seconds * (arrivals + ready / drain_seconds), MOST)
    formula = f"{seconds:.3g} s a task x ({arrivals:.3g} new/s + {ready} ready / {drain_seconds} s)"
    wanted = math.ceil(_rounded(workers))
    if wanted != replicas and abs(workers - replicas) <= TOLERANCE * replicas:
        return Demand(replicas, f"{formula} = {workers:.3g}, within a tenth of {replicas}")
    return Demand(wanted, f"{formula} = {wanted}")


def _no_more_than_tasks(policy: ScalingPolicy, counts: Counts, rates: Rates, demand: Demand) -> Demand:
    """At most one worker for each task there is or will be before a worker without one would go."""
    in_progress, window = counts.messages_unacknowledged, policy.scale_down_stabilization_seconds
    if in_progress is None:
        return demand
    coming = math.floor(min(rates.arrivals_per_second * window, MOST))
    tasks = counts.messages_ready + max(0, in_progress) + coming
    if demand.replicas <= tasks:
        return demand
    return Demand(tasks, f"{demand.formula}, but {tasks} tasks ready, in progress or coming within {window} s")


def _usable(rates: Rates | NoRates) -> Rates | NoRates:
    if isinstance(rates, NoRates):
        return rates
    numbers = (rates.arrivals_per_second, rates.service_seconds)
    sound = all(math.isfinite(number) and number >= 0 for number in numbers) and rates.service_seconds > 0
    return rates if sound else IMPOSSIBLE_RATES


def _rounded(replicas: float) -> float:
    """Without the last bits of a float product, so that 3.0000000001 does not ask for a fourth worker."""
    return round(replicas, 6)
