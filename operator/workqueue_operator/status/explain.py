"""Says in sentences why a WorkQueue has the workers it has, from its status alone. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from workqueue_operator.status import conditions


def unserved(namespace: str, served: Sequence[str]) -> str | None:
    """Why there is nothing to explain in a namespace that this operator does not serve; none named: it serves all."""
    if not served or namespace in served:
        return None
    return (
        f"this operator serves {', '.join(served)}, and not {namespace}: ask the operator that does (watchNamespaces)"
    )


def explain(body: Mapping[str, Any]) -> str:
    """The last decision with its formula and numbers, what stands in its way, and the changes before it."""
    name = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
    status = body.get("status") or {}
    last = status.get("lastDecision")
    if not last:
        return "\n".join(
            [f"{name}: nothing is decided. {_broken(status) or 'Is the operator running?'}", *_recent(status)]
        )
    lines = [
        f"{name}: {last['replicas']} workers desired since {last['time']}: {last['reason']}.",
        f"  {last['message']}",
        f"  The queue asks for {status.get('wantedReplicas', '?')}; the Deployment has {status.get('replicas', '?')} "
        f"replicas, {status.get('readyReplicas', '?')} of them Ready.",
        _queue(status),
    ]
    broken = _broken(status)
    if broken:
        lines.append(broken)
    return "\n".join([*lines, *_recent(status)])


def _recent(status: Mapping[str, Any]) -> list[str]:
    recent = status.get("recentDecisions") or []
    lines = [f"  {one['time']}  {one['reason']}: {one['message']}" for one in recent]
    return ["Last changes, newest first:", *lines] if lines else []


def _queue(status: Mapping[str, Any]) -> str:
    if status.get("messagesReady") is None:
        return "  How many messages wait is unknown."
    return f"  {status['messagesReady']} messages wait; the queue has {status.get('consumers', '?')} consumers."


def _broken(status: Mapping[str, Any]) -> str:
    broken = [
        f"  {one['type']} is {one['status']} ({one['reason']}): {one['message']}"
        for one in status.get("conditions") or ()
        if one["type"] not in (conditions.READY, conditions.SCALING_LIMITED)
        and (one["status"] == "True") == (one["type"] == conditions.WRITES_LIMITED)
    ]
    return "\n".join(["What is wrong:", *broken]) if broken else ""
