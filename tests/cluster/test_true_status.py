"""A status that is true while something is wrong, in the words of a real API server."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.kube import Kube, image_settings
from tests.support.waiting import wait_until
from tests.support.work import CHECKOUT, Work


def condition(work: Work, name: str, reason: str) -> dict[str, Any] | None:
    """The condition once it has this reason."""
    found = work.condition(name)
    return found if found and found["reason"] == reason else None


def change_pods(work: Work, **spec: Any) -> None:
    """Change the template's spec; the pods of before go before the new ones come."""
    recreate = {"type": "Recreate", "rollingUpdate": None}
    patch = json.dumps({"spec": {"strategy": recreate, "template": {"spec": spec}}})
    deployment = f"deployment/{work.name}-worker"
    work.kube.kubectl("patch", deployment, "-n", work.namespace, "--type=strategic", "-p", patch)


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
    work.settle()  # one that is still ending would take a task
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


@pytest.mark.timeout(600)  # three rollouts, and a kubelet's back-off
def test_what_keeps_pods_from_starting_is_named_and_stops_the_growth(work: Work, kube: Kube) -> None:
    """One after the other: a quota, no node that fits, an init container that fails."""
    work.install()
    work.settle()
    with quota(kube, work.namespace, pods=0):
        work.send(["Task" + "." * 60] * 8)
        refused = wait_until(lambda: condition(work, "WorkersHealthy", "PodsRefused"), 60, "the quota is seen")
        assert "exceeded quota: no-more" in refused["message"]
        change_pods(work, nodeSelector={"no-such": "node"})  # under the quota: no worker of before may take a task
    wait_until(lambda: failing_with(work, "Unschedulable"), 120, "the scheduler's words are reported")
    change_pods(work, nodeSelector=None, initContainers=[failing_init_container(work)])
    wait_until(
        lambda: failing_with(work, "CrashLoopBackOff", "a container ended"), 120, "the failing start is reported"
    )
    work.send(["Task."] * 40)
    wait_until(lambda: work.status()["lastDecision"]["reason"] == "WorkersFailing", 30, "the growth stops")
    assert (work.replicas(), work.status()["readyReplicas"]) == (2, 0)


@contextmanager
def quota(kube: Kube, namespace: str, **hard: int) -> Iterator[None]:
    """A ResourceQuota for as long as the block lasts."""
    metadata = {"name": "no-more", "namespace": namespace}
    limits = {name: str(value) for name, value in hard.items()}
    kube.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": limits}})
    try:
        yield
    finally:
        kube.kubectl("delete", "resourcequota", "no-more", "-n", namespace)


def failing_with(work: Work, *words: str) -> bool:
    """Whether the condition WorkersHealthy gives one of these words as the reason why the workers fail."""
    found = condition(work, "WorkersHealthy", "WorkersFailing")
    return found is not None and any(word in found["message"] for word in words)


def failing_init_container(work: Work) -> dict[str, Any]:
    """Of the worker's image, and within what the namespace's pod security allows."""
    deployment = work.kube.get("deployment", f"{work.name}-worker", "-n", work.namespace)
    (worker,) = deployment["spec"]["template"]["spec"]["containers"]
    shared = {name: worker[name] for name in ("image", "securityContext")}
    return {"name": "prepare", "command": ["python", "-c", "raise SystemExit(1)"], **shared}


def test_one_chart_with_two_queues_has_two_queues(work: Work, kube: Kube, tmp_path: Path) -> None:
    """An umbrella chart with two aliases: each is Ready, and a busy worker of one holds no scale-down of the other."""
    chart = tmp_path / "shop"
    shutil.copytree(CHECKOUT / "charts" / "workqueue", chart / "charts" / "workqueue")
    aliases = ("mail", "thumbs")
    dependencies = [{"name": "workqueue", "version": ">=0", "alias": alias} for alias in aliases]
    about = {"apiVersion": "v2", "name": "shop", "version": "1.0.0", "dependencies": dependencies}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about))
    scaling = ("scaling.minReplicas=1", "scaling.scaleDown.stabilizationWindowSeconds=0")
    values = [f"{alias}.{each}" for alias in aliases for each in ("broker.secretName=rabbitmq", *scaling)]
    images = [each.replace("image.", f"{alias}.image.") for alias in aliases for each in image_settings("worker")]
    flags = [flag for value in values for flag in ("--set", value)]
    kube.helm("install", work.name, str(chart), "-n", work.namespace, *images, *flags)
    queues = [
        Work(kube, work.proxy, work.namespace, f"{work.name}-{alias}", f"{work.name}-{alias}") for alias in aliases
    ]
    for queue in queues:
        queue.wait_until_ready()
    mail, thumbs = queues
    mail.send(["Task" + "." * 60])
    wait_until(lambda: 1 in mail.tasks_in_progress().values(), 60, "the one works")
    for queue in queues:
        queue.change({"scaling": {"minReplicas": 0}})
    wait_until(lambda: thumbs.replicas() == 0, 60, "the other's worker goes")
    assert mail.replicas() == 1
