"""The conditions of a WorkQueue, in full metav1 form, made from what one pass saw and decided. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workqueue_operator.queue_policy import MANAGEMENT_API_UNAVAILABLE, Verdict
from workqueue_operator.resource import Mode
from workqueue_operator.scaling import Reason, ScalingDecision, Unknown
from workqueue_operator.write_budget import BURST, SECONDS_PER_WRITE

READY = "Ready"
QUEUE_OBSERVED = "QueueObserved"
TARGET_FOUND = "TargetFound"
POLICY_APPLIED = "PolicyApplied"
SCALING_ACTIVE = "ScalingActive"
SCALING_LIMITED = "ScalingLimited"
WORKERS_HEALTHY = "WorkersHealthy"
#: Only where it was ever True.
WRITES_LIMITED = "WritesLimited"

#: Reasons of a decision that keeps the Deployment from the size that the queue asks for.
LIMITS = frozenset(
    {
        Reason.AT_MAX_REPLICAS,
        Reason.STEP_LIMITED,
        Reason.SCALED_MANUALLY,
        Reason.WORKERS_FAILING,
        Reason.WORKERS_BUSY,
        Reason.ROLLOUT,
    }
)


@dataclass(frozen=True)
class Condition:
    """One condition, without its time."""

    type: str
    #: True, False, or None for Unknown.
    status: bool | None
    #: One CamelCase word.
    reason: str
    message: str = ""
    #: It is told, and Ready does not look at it.
    advisory: bool = False


def of_decision(decision: ScalingDecision, unknown: Unknown | None, mode: Mode, failing: str | None) -> list[Condition]:
    """The conditions when the Deployment was found and a decision made."""
    return [
        _queue_observed(unknown),
        Condition(TARGET_FOUND, True, "DeploymentFound"),
        _workers_healthy(failing),
        _scaling_active(decision, mode),
        _scaling_limited(decision),
    ]


def of_missing_target(message: str) -> list[Condition]:
    """The conditions when there is nothing to scale."""
    return [
        Condition(TARGET_FOUND, False, "DeploymentNotFound", message),
        Condition(SCALING_ACTIVE, False, "DeploymentNotFound", message),
    ]


def of_conflict(message: str) -> list[Condition]:
    """The conditions of the younger of two WorkQueues on one Deployment."""
    return [
        Condition(TARGET_FOUND, True, "DeploymentFound"),
        Condition(SCALING_ACTIVE, False, "TargetConflict", message),
    ]


def of_invalid_spec(message: str) -> list[Condition]:
    """The conditions of a spec that cannot be used."""
    return [Condition(SCALING_ACTIVE, False, "InvalidSpec", message)]


def of_policy(verdict: Verdict | None, asked_for: bool, stored: Mapping[str, Any] | None) -> list[Condition]:
    """PolicyApplied: only a limit that somebody asked for makes Ready False when it does not hold.

    `stored` is the condition as last written for this spec. It stands until somebody looked, such as after a restart;
    and while the management API is away, what was set there is still there, as far as is known.
    """
    if verdict is None:
        return [_as_stored(stored, asked_for)] if stored else []
    applied, message = verdict.applied, verdict.message
    if verdict.reason == MANAGEMENT_API_UNAVAILABLE and stored and _held(stored):
        applied, message = None, f"RabbitMQ keeps what was set before; {message}"
    return [Condition(POLICY_APPLIED, applied, verdict.reason, message, advisory=not asked_for)]


def of_writes(limited: bool) -> Condition:
    """Whether status and Events lag behind what happens."""
    if not limited:
        return Condition(WRITES_LIMITED, False, "WithinLimits", advisory=True)
    text = (
        f"status and Events of one WorkQueue are written {BURST:.0f} at once and then one every "
        f"{SECONDS_PER_WRITE:.0f} s, so that they are late; the Deployment is scaled without delay. Give "
        "spec.scaling.scaleDown.stabilizationWindowSeconds more seconds if the size changes all the time"
    )
    return Condition(WRITES_LIMITED, True, "TooManyChanges", text, advisory=True)


def summarised(conditions: Sequence[Condition]) -> list[Condition]:
    """With Ready in front: True when nothing that must hold is broken; the first broken one gives its reason."""
    broken = [one for one in conditions if one.status is False and not one.advisory]
    asked_for = {"Paused", "DryRun"}
    first = next((one for one in broken if one.reason not in asked_for), None)
    if first:
        return [Condition(READY, False, first.reason, first.message), *conditions]
    resting = next((one.reason for one in broken), "Scaling")
    return [Condition(READY, True, resting), *conditions]


def merged(
    previous: Iterable[Mapping[str, Any]], conditions: Sequence[Condition], generation: int, time: str
) -> list[dict[str, Any]]:
    """As stored: lastTransitionTime moves only when the status flips; those not seen this time turn Unknown."""
    old = {one["type"]: one for one in previous}
    seen = {one.type for one in conditions}
    lost = [Condition(name, None, "NotEvaluated", "the pass ended before it") for name in old if name not in seen]
    return [_stored(one, old.get(one.type), generation, time) for one in (*conditions, *lost)]


def _stored(condition: Condition, old: Mapping[str, Any] | None, generation: int, time: str) -> dict[str, Any]:
    status = "Unknown" if condition.status is None else str(condition.status)
    flipped = old is None or old.get("status") != status
    return {
        "type": condition.type,
        "status": status,
        "reason": str(condition.reason),
        "message": condition.message[:1024],
        "observedGeneration": generation,
        "lastTransitionTime": time if flipped or old is None else old["lastTransitionTime"],
    }


def _held(stored: Mapping[str, Any]) -> bool:
    return stored["status"] == "True" or (stored["status"], stored["reason"]) == ("Unknown", MANAGEMENT_API_UNAVAILABLE)


def _as_stored(stored: Mapping[str, Any], asked_for: bool) -> Condition:
    status = {"True": True, "False": False}.get(stored["status"])
    return Condition(stored["type"], status, stored["reason"], stored["message"], advisory=not asked_for)


def _scaling_limited(decision: ScalingDecision) -> Condition:
    limited = decision.reason in LIMITS
    return Condition(SCALING_LIMITED, limited, decision.reason if limited else "WithinLimits", advisory=True)


def _queue_observed(unknown: Unknown | None) -> Condition:
    if unknown:
        return Condition(QUEUE_OBSERVED, False, unknown.cause, unknown.message)
    return Condition(QUEUE_OBSERVED, True, "Observed")


def _workers_healthy(failing: str | None) -> Condition:
    if failing:
        return Condition(WORKERS_HEALTHY, False, "WorkersFailing", failing)
    return Condition(WORKERS_HEALTHY, True, "Healthy")


def _scaling_active(decision: ScalingDecision, mode: Mode) -> Condition:
    if mode is not Mode.ACTIVE:
        text = "no change is made to the Deployment: set spec.mode to Active"
        return Condition(SCALING_ACTIVE, False, mode.value, text)
    if decision.reason is Reason.QUEUE_UNKNOWN:
        return Condition(SCALING_ACTIVE, False, decision.reason, decision.message)
    return Condition(SCALING_ACTIVE, True, "Scaling")
