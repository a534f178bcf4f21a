"""A status that is true while something is wrong, in the words of a real API server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kube import Kube
from waiting import wait_until
from work import Work


def condition(work: Work, name: str, reason: str) -> dict[str, Any] | None:
    """The condition once it has this reason."""
    found = work.condition(name)
    return found if found and found["reason"] == reason else None


@contextmanager
def without_right(kube: Kube, namespace: str, resource: str) -> Iterator[None]:
    """Take a right from the operator's Role for as long as the block lasts."""
    (role,) = kube.get("roles", "-n", namespace)["items"]
    for field in ("resourceVersion", "uid", "creationTimestamp", "managedFields"):
        role["metadata"].pop(field, None)
    rules = [rule for rule in role["rules"] if resource not in rule["resources"]]
    kube.apply({**role, "rules": rules})
    try:
        yield
    finally:
        kube.apply(role)


def test_a_refused_scale_is_in_the_status_beside_the_counts(work: Work, kube: Kube) -> None:
    work.install(mode="DryRun")
    work.kube.kubectl("scale", f"deployment/{work.name}-worker", "-n", work.namespace, "--replicas=0")
    wait_until(lambda: work.status().get("replicas") == 0, 60, "no worker is wanted")
    with without_right(kube, work.namespace, "deployments/scale"):
        work.change({"mode": "Active"})
        work.send(["Task."] * 20)
        active = wait_until(lambda: condition(work, "ScalingActive", "ApiServerRefused"), 60, "the refusal is reported")
        wait_until(lambda: work.status().get("messagesReady") == 20, 30, "the counts are those of now")
        assert "403" in active["message"]
        assert "deployments/scale" in active["message"]
        status = work.status()
        assert (status["wantedReplicas"], status["replicas"]) == (4, 0)
        assert (work.condition("Ready") or {})["reason"] == "ApiServerRefused"
    wait_until(lambda: work.replicas() == 4, 60, "with the right it scales")
    wait_until(lambda: condition(work, "ScalingActive", "Active"), 30, "and says so")
