"""The status of a WorkQueue, made from one pass, and whether it is worth a write. Pure.

What a person acts on is written at once; counts that move with every reading wait for their turn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from workqueue_operator import conditions
from workqueue_operator.conditions import Condition
from workqueue_operator.demand import Counts
from workqueue_operator.scaling import ScalingDecision, Unknown

#: Seconds between two writes that only move counts.
COUNTS_PERIOD_SECONDS = 5.0
RECENT_DECISIONS = 10


@dataclass(frozen=True)
class Pass:
    """What one pass over a WorkQueue found out."""

    generation: int
    conditions: Sequence[Condition]
    #: The Deployment's spec.replicas after the pass; None: no Deployment.
    replicas: int | None = None
    reading: Counts | Unknown | None = None
    decision: ScalingDecision | None = None
    #: Whether the decision changed the Deployment (or would have, in DryRun).
    changed: bool = False
    tasks_in_progress: int | None = None


def next_status(old: Mapping[str, Any], seen: Pass, time: str) -> dict[str, Any]:
    """The whole status after the pass; what the pass did not see stays."""
    status: dict[str, Any] = dict(old)
    status["observedGeneration"] = seen.generation
    status["conditions"] = conditions.merged(
        old.get("conditions") or (), conditions.summarised(seen.conditions), seen.generation, time
    )
    status.update(_known({"replicas": seen.replicas, "tasksInProgress": seen.tasks_in_progress}))
    if isinstance(seen.reading, Counts):
        status["messagesReady"] = seen.reading.messages_ready
        status["consumers"] = seen.reading.consumers
        status.update(_known({"messagesUnacknowledged": seen.reading.messages_unacknowledged}))
    elif seen.reading:  # no number is better than an old one; null takes it out of the stored status
        status["messagesReady"] = status["consumers"] = None
    if seen.decision:
        status.update(_decided(old, seen.decision, seen.changed, time))
    return status


def is_due(old: Mapping[str, Any], new: Mapping[str, Any], seconds_since_write: float) -> bool:
    """Whether to write: at once for a decision or a condition, every few seconds for counts, never for nothing."""
    if _urgent(old) != _urgent(new):
        return True
    return dict(old) != dict(new) and seconds_since_write >= COUNTS_PERIOD_SECONDS


def timestamp(seconds_since_1970: float) -> str:
    """RFC 3339, as the API server has it."""
    return datetime.fromtimestamp(seconds_since_1970, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _decided(old: Mapping[str, Any], decision: ScalingDecision, changed: bool, time: str) -> dict[str, Any]:
    last = old.get("lastDecision") or {}
    same = (last.get("replicas"), last.get("reason")) == (decision.replicas, decision.reason)
    entry = {
        "time": last["time"] if same and not changed else time,
        "replicas": decision.replicas,
        "reason": str(decision.reason),
        "message": decision.message[:1024],
    }
    status = {"desiredReplicas": decision.replicas, "lastDecision": entry}
    if changed:
        status["recentDecisions"] = [entry, *(old.get("recentDecisions") or [])][:RECENT_DECISIONS]
    return status


def _urgent(status: Mapping[str, Any]) -> tuple[Any, ...]:
    last = status.get("lastDecision") or {}
    return (
        status.get("observedGeneration"),
        status.get("replicas"),
        status.get("desiredReplicas"),
        last.get("reason"),
        [(one["type"], one["status"], one["reason"]) for one in status.get("conditions") or ()],
        [one["time"] for one in status.get("recentDecisions") or ()],
    )


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
