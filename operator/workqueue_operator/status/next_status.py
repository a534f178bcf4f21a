"""The status of a WorkQueue, made from one pass, and whether it is worth a write. Pure.

What a person acts on is written at once; counts that move with every reading wait for their turn.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from workqueue_operator.scaling.decision import ScalingDecision, Unknown
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.status import conditions
from workqueue_operator.status.conditions import Condition

#: Seconds between two writes that only move counts.
COUNTS_PERIOD_SECONDS = 5.0
RECENT_DECISIONS = 10
#: A number in a sentence, with what may stand in one.
_NUMBER = re.compile(r"[0-9][0-9.,e+-]*")


@dataclass(frozen=True)
class Change:
    """A decision that changed the Deployment (or would have, in DryRun)."""

    decision: ScalingDecision
    #: RFC 3339.
    time: str


@dataclass(frozen=True)
class Pass:
    """What one pass over a WorkQueue found out."""

    generation: int
    conditions: Sequence[Condition]
    #: The Deployment's spec.replicas after the pass, and its Ready workers; None: no Deployment.
    replicas: int | None = None
    ready: int | None = None
    reading: Counts | Unknown | None = None
    decision: ScalingDecision | None = None
    #: What changed since the status was last written, oldest first; a change of this pass is the last one.
    changes: Sequence[Change] = ()
    #: Over all workers that answered; None: not asked in this pass.
    tasks_in_progress: int | None = None


def next_status(old: Mapping[str, Any], seen: Pass, time: str) -> dict[str, Any]:
    """The whole status after the pass. What is not known is None, which takes it out of the stored one."""
    reading = seen.reading if isinstance(seen.reading, Counts) else None
    status: dict[str, Any] = dict(old)
    status["observedGeneration"] = seen.generation
    status["conditions"] = conditions.merged(
        old.get("conditions") or (),
        conditions.summarised(seen.conditions, seen.decision.message if seen.decision else ""),
        seen.generation,
        time,
    )
    status["replicas"] = seen.replicas
    status["readyReplicas"] = seen.ready
    status["wantedReplicas"] = seen.decision.wanted if seen.decision else None
    status["messagesReady"] = reading.messages_ready if reading else None
    status["consumers"] = reading.consumers if reading else None
    status["messagesUnacknowledged"] = reading.messages_unacknowledged if reading else None
    status["tasksInProgress"] = seen.tasks_in_progress if reading else None
    status["desiredReplicas"] = seen.decision.replicas if seen.decision else None
    status["lastDecision"] = _last_decision(old, seen, time)
    entries = [_entry(change.decision, change.time) for change in reversed(seen.changes)]
    if entries:
        status["recentDecisions"] = [*entries, *(old.get("recentDecisions") or [])][:RECENT_DECISIONS]
    return status


def is_due(old: Mapping[str, Any], new: Mapping[str, Any], seconds_since_write: float) -> bool:
    """Whether to write: at once for a decision or a condition, every few seconds for counts, never for nothing.

    A sentence in which only the numbers move is nothing: it is written along with the counts behind it.
    """
    if _urgent(old) != _urgent(new):
        return True
    return _worded(old) != _worded(new) and seconds_since_write >= COUNTS_PERIOD_SECONDS


def timestamp(seconds_since_1970: float) -> str:
    """RFC 3339, as the API server has it."""
    return datetime.fromtimestamp(seconds_since_1970, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _last_decision(old: Mapping[str, Any], seen: Pass, time: str) -> dict[str, Any] | None:
    if seen.decision is None:
        return None
    last = old.get("lastDecision") or {}
    same = (last.get("replicas"), last.get("reason")) == (seen.decision.replicas, seen.decision.reason)
    changed = bool(seen.changes) and seen.changes[-1].decision == seen.decision
    if changed:
        return _entry(seen.decision, seen.changes[-1].time)
    return _entry(seen.decision, last["time"] if same else time)


def _entry(decision: ScalingDecision, time: str) -> dict[str, Any]:
    return {
        "time": time,
        "replicas": decision.replicas,
        "reason": str(decision.reason),
        "message": decision.message[:1024],
    }


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


def _worded(value: Any) -> Any:
    """Without what is not known, and without the numbers in sentences."""
    if isinstance(value, Mapping):
        return {
            name: _NUMBER.sub("#", each) if name == "message" else _worded(each)
            for name, each in value.items()
            if each is not None
        }
    return [_worded(each) for each in value] if isinstance(value, list) else value
