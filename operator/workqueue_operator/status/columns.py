"""The columns of `kubectl get wq`, from WorkQueues as the API server has them. Pure.

Source: additionalPrinterColumns of the definition in the operator's chart; a test holds both to the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

#: Heading -> where its value is in a WorkQueue; the condition Ready has a rule of its own.
PATHS = {
    "NAMESPACE": "metadata.namespace",
    "NAME": "metadata.name",
    "READY": "",
    "QUEUE": "spec.queue.name",
    "WAITING": "status.messagesReady",
    "WANTED": "status.wantedReplicas",
    "DESIRED": "status.desiredReplicas",
    "REPLICAS": "status.replicas",
    "READY-WORKERS": "status.readyReplicas",
    "REASON": "status.lastDecision.reason",
}


def table(bodies: Sequence[Mapping[str, Any]]) -> str:
    """A line for each WorkQueue below the headings; what it does not have is empty, as kubectl shows it."""
    rows = [list(PATHS), *([_cell(body, heading) for heading in PATHS] for body in bodies)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _cell(body: Mapping[str, Any], heading: str) -> str:
    if heading == "READY":
        conditions = (body.get("status") or {}).get("conditions") or ()
        return next((str(one["status"]) for one in conditions if one["type"] == "Ready"), "")
    value: Any = body
    for name in PATHS[heading].split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)
