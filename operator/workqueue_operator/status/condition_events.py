"""Which Events are owed about the conditions of a WorkQueue. Pure.

A condition that is False is reported by a Warning, and that it is True again by a second Event, once. What is owed
follows from what holds now and from what was reported last, not from the step between two passes. So the second Event
comes whatever lies between: Unknown, a pass that ended early, a refused or late Event, a restart of the operator.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from workqueue_operator.cluster.port import Notice
from workqueue_operator.rabbitmq import queue_policy
from workqueue_operator.status import conditions

#: Conditions that get Events; the others change with a decision, which has one.
EVENT_CONDITIONS = (
    *(conditions.QUEUE_OBSERVED, conditions.TARGET_FOUND, conditions.WORKERS_HEALTHY),
    *(conditions.POLICY_APPLIED, conditions.SCALING_ACTIVE, *conditions.PASSING),
)
#: Reasons of ScalingActive that no decision's Event reports, as no decision is made.
UNDECIDED_REASONS = (
    *("TargetConflict", "InvalidSpec"),
    *(conditions.API_SERVER_REFUSED, conditions.API_SERVER_UNAVAILABLE),
)
#: Reasons that the user chose; they get no Event.
SILENT_REASONS = (queue_policy.MANAGEMENT_API_MISSING, "DeclareNever", "Paused", "DryRun", "TooManyPolicies")


def owed(
    current: Sequence[Mapping[str, Any]],
    open_warnings: Collection[str],
    waiting: Iterable[Notice],
    *,
    judged: bool,
) -> list[Notice]:
    """The Events to post after those that are `waiting`.

    `current`: the conditions as stored. `open_warnings`: see open_after. `judged`: the pass knew all that
    the conditions are made from that are only there while they are False, so one that is not there is over.
    """
    last = {notice.condition: notice.type == "Warning" for notice in waiting if notice.condition}
    is_open = {name: last.get(name, name in open_warnings) for name in EVENT_CONDITIONS}
    there = {one["type"] for one in current}
    bad = [one for one in current if _is_bad(one) and not is_open[one["type"]]]
    good = [(one["type"], one["reason"]) for one in current if one["status"] == "True" and is_open.get(one["type"])]
    gone = [(name, name) for name in conditions.PASSING if judged and is_open[name] and name not in there]
    return [
        *(Notice(one["reason"], one["message"], "Warning", one["type"]) for one in bad),
        *(Notice(reason, f"{name} again", condition=name) for name, reason in [*good, *gone]),
    ]


def is_news(notice: Notice, open_warnings: Collection[str]) -> bool:
    """False for the second of two Warnings, or the end of none: what stood between them was dropped from the queue."""
    return not notice.condition or (notice.type == "Warning") != (notice.condition in open_warnings)


def open_after(posted: Notice, open_warnings: Collection[str]) -> frozenset[str]:
    """The conditions that a Warning reported, and that no Event has reported to be True again, after this Event."""
    if not posted.condition:
        return frozenset(open_warnings)
    is_open = posted.type == "Warning"
    return frozenset({*open_warnings, posted.condition} if is_open else {*open_warnings} - {posted.condition})


def to_store(open_warnings: Iterable[str], waiting: Iterable[Notice]) -> list[str] | None:
    """status.openWarnings, written before the Events that wait: with those of Warnings among them."""
    soon = {notice.condition for notice in waiting if notice.condition and notice.type == "Warning"}
    return sorted({*open_warnings, *soon}) or None


def open_in(status: Mapping[str, Any]) -> frozenset[str]:
    """What is open by the stored status, for an operator that starts. What is False there was reported before."""
    listed = {name for name in status.get("openWarnings") or () if name in EVENT_CONDITIONS}
    return frozenset(listed | {one["type"] for one in status.get("conditions") or () if _is_bad(one)})


def _is_bad(condition: Mapping[str, Any]) -> bool:
    name, reason = condition["type"], condition["reason"]
    has_event = reason in UNDECIDED_REASONS if name == conditions.SCALING_ACTIVE else reason not in SILENT_REASONS
    return name in EVENT_CONDITIONS and condition["status"] == "False" and has_event
