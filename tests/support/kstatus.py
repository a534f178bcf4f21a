"""What kstatus makes of a custom resource: how Flux and `helm --wait` of Helm 4 see when to stop waiting.

The rules are those for any kind without rules of its own, as published for sigs.k8s.io/cli-utils (kstatus).
tests/cluster/test_gitops.py has Helm's own kstatus judge a WorkQueue.
"""

from collections.abc import Mapping
from typing import Any


def status_of(resource: Mapping[str, Any]) -> str:
    """InProgress, Failed, Terminating or Current."""
    metadata, status = resource["metadata"], resource.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    if status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return "InProgress"
    conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
    for name, verdict in (("Reconciling", "InProgress"), ("Stalled", "Failed")):
        if conditions.get(name) == "True":
            return verdict
    return "Current" if conditions.get("Ready", "True") == "True" else "InProgress"
