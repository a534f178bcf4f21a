"""The conditions of a WorkQueue, in full metav1 form, made from what one pass saw and decided. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workqueue_broker.foreign_text import foreign_text

from workqueue_operator.cluster.port import ClusterUnavailable
from workqueue_operator.cluster.refusals import Refusal
from workqueue_operator.rabbitmq.queue_policy import MANAGEMENT_API_UNAVAILABLE, Verdict
from workqueue_operator.resource import Mode
from workqueue_operator.scaling.decision import Reason, ScalingDecision, Unknown
from workqueue_operator.scaling.worker_health import Obstacle
from workqueue_operator.status.disputes import EXCLUSIVE, TASKS_FIT, Dispute
from workqueue_operator.status.write_budget import BURST, SECONDS_PER_WRITE

READY = "Ready"
QUEUE_OBSERVED = "QueueObserved"
TARGET_FOUND = "TargetFound"
POLICY_APPLIED = "PolicyApplied"
SCALING_ACTIVE = "ScalingActive"
SCALING_LIMITED = "ScalingLimited"
WORKERS_HEALTHY = "WorkersHealthy"
#: Only where it was ever True.
WRITES_LIMITED = "WritesLimited"
#: Only there while it is True. Flux, Argo CD and `helm --wait` stop waiting for an object that has it (kstatus).
STALLED = "Stalled"

API_SERVER_REFUSED = "ApiServerRefused"
API_SERVER_UNAVAILABLE = "ApiServerUnavailable"

#: Conditions that are only there while they are False.
PASSING = (EXCLUSIVE, TASKS_FIT)

#: Reasons of a decision that keeps the Deployment from the size that the queue asks for.
LIMITS = frozenset(
    {
        Reason.AT_MAX_REPLICAS,
        Reason.STEP_LIMITED,
        Reason.SCALED_MANUALLY,
        Reason.WORKERS_FAILING,
        Reason.WORKERS_BUSY,
        Reason.WORKERS_SILENT,
        Reason.WORKERS_NOT_ASKED,
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
    #: It is shown, and Ready does not look at it.
    advisory: bool = False


@dataclass(frozen=True)
class Findings:
    """What a pass with a decision found out, beside the decision."""

    mode: Mode
    #: Why the queue's counts are not known; None: they are.
    unknown: Unknown | None = None
    #: It is too soon to report that the queue has no leader: workers that just started may not consume yet.
    settling: bool = False
    #: How the queue differs from spec.queue, though its counts are known; None: it does not.
    mismatch: str | None = None
    #: What keeps the workers from their work; None: nothing.
    obstacle: Obstacle | None = None
    #: What the API server refuses; None: nothing.
    refusal: Refusal | None = None
    #: What contradicts the spec.
    disputes: Sequence[Dispute] = ()


def of_decision(decision: ScalingDecision, found: Findings) -> list[Condition]:
    """The conditions when the Deployment was found and a decision made."""
    refused = found.refusal is not None and found.refusal.is_lasting
    return [
        _mismatched(found.mismatch) if found.mismatch and not found.unknown else _observed(found),
        _target_found(),
        _workers_healthy(found.obstacle),
        of_refusal(found.refusal) if found.refusal and refused else _scaling_active(decision, found),
        _scaling_limited(decision),
        *(Condition(one.condition, False, one.reason, one.message, advisory=True) for one in found.disputes),
    ]


def of_refusal(refusal: Refusal) -> Condition:
    """ScalingActive while the API server refuses what a pass needs, in its own words."""
    unavailable = isinstance(refusal.error, ClusterUnavailable)
    reason = API_SERVER_UNAVAILABLE if unavailable else API_SERVER_REFUSED
    text = f"the Deployment is left unchanged: {foreign_text(str(refusal.error))}"
    return Condition(SCALING_ACTIVE, False if refusal.is_lasting else None, reason, text)


def of_unseen_target(refusal: Refusal) -> list[Condition]:
    """The conditions while the API server does not show the Deployment."""
    active = of_refusal(refusal)
    return [Condition(TARGET_FOUND, None, active.reason, active.message), active]


def of_missing_target(message: str) -> list[Condition]:
    """The conditions when there is nothing to scale."""
    return [
        Condition(TARGET_FOUND, False, "DeploymentNotFound", message),
        Condition(SCALING_ACTIVE, False, "DeploymentNotFound", message),
    ]


def of_conflict(message: str) -> list[Condition]:
    """The conditions of the younger of two WorkQueues on one Deployment."""
    return [
        _target_found(),
        *_stalled("TargetConflict", message),
    ]


def of_invalid_spec(message: str) -> list[Condition]:
    """The conditions of a spec that cannot be used."""
    return _stalled("InvalidSpec", message)


def of_policy(verdict: Verdict | None, asked_for: bool, stored: Mapping[str, Any] | None) -> list[Condition]:
    """PolicyApplied: only a limit that the user asked for makes Ready False when it does not hold.

    `stored` is the condition as last written for this spec. It stands until the operator looked, as after a restart;
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


def summarised(conditions: Sequence[Condition], decision: str = "") -> list[Condition]:
    """With Ready in front: the first broken one that must hold, or True with the sentence of the decision."""
    broken = [one for one in conditions if one.status is False and not one.advisory]
    asked_for = {"Paused", "DryRun"}
    first = next((one for one in broken if one.reason not in asked_for), None)
    if first:
        return [Condition(READY, False, first.reason, first.message), *conditions]
    resting = next((one.reason for one in broken), "AllConditionsMet")
    return [Condition(READY, True, resting, decision), *conditions]


def merged(
    previous: Iterable[Mapping[str, Any]], conditions: Sequence[Condition], generation: int, time: str
) -> list[dict[str, Any]]:
    """As stored: lastTransitionTime moves only when the status flips; conditions not evaluated turn Unknown.

    Conditions that exist only while something is wrong are removed.
    """
    old = {one["type"]: one for one in previous}
    types = {one.type for one in conditions}
    lost = [
        Condition(name, None, "NotEvaluated", "not evaluated: the pass stopped earlier, see the other conditions")
        for name in old
        if name not in {*types, *PASSING, STALLED}
    ]
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


def _stalled(reason: str, message: str) -> list[Condition]:
    """Nothing is scaled until a person changes an object, so nothing is worth waiting for."""
    return [
        Condition(SCALING_ACTIVE, False, reason, message),
        Condition(STALLED, True, reason, message, advisory=True),
    ]


def _scaling_limited(decision: ScalingDecision) -> Condition:
    if decision.reason not in LIMITS:
        return Condition(
            SCALING_LIMITED,
            False,
            "WithinLimits",
            "no bound, step, rollout or worker at work holds the size",
            advisory=True,
        )
    text = f"{decision.wanted} wanted by the queue, {decision.replicas} desired"
    return Condition(SCALING_LIMITED, True, decision.reason, text, advisory=True)


def _mismatched(words: str) -> Condition:
    return Condition(QUEUE_OBSERVED, False, "QueueMismatch", f"scaled by the queue that is there: {words}")


def _observed(found: Findings) -> Condition:
    return queue_observed(found.unknown, settling=found.settling)


def queue_observed(unknown: Unknown | None, *, settling: bool = False) -> Condition:
    """QueueObserved: whether the queue's counts are known."""
    if unknown:
        return Condition(QUEUE_OBSERVED, None if settling else False, unknown.cause, unknown.message)
    return Condition(QUEUE_OBSERVED, True, "Observed", "the queue was read")


def _target_found() -> Condition:
    return Condition(TARGET_FOUND, True, "DeploymentFound", "the Deployment was found")


def _workers_healthy(obstacle: Obstacle | None) -> Condition:
    if obstacle:
        return Condition(WORKERS_HEALTHY, False, obstacle.reason, obstacle.message)
    return Condition(WORKERS_HEALTHY, True, "Healthy", "nothing keeps the workers from their work")


def _scaling_active(decision: ScalingDecision, found: Findings) -> Condition:
    if found.mode is not Mode.ACTIVE:
        text = "no change is made to the Deployment: set spec.mode to Active"
        return Condition(SCALING_ACTIVE, False, found.mode.value, text)
    if decision.reason is Reason.QUEUE_UNKNOWN:
        return Condition(SCALING_ACTIVE, None if found.settling else False, decision.reason, decision.message)
    return Condition(SCALING_ACTIVE, True, "Active", "decisions are carried out")
