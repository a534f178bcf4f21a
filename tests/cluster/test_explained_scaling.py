"""Scaling that interrupts nobody and explains itself, on a real cluster."""

import json
import random
from typing import Any

import pytest
from kube import Kube, Proxy
from waiting import wait_until
from work import SYSTEM, Work

BUSY, WORKERS, SHRINKS = 4, 10, 50


def operator_metrics(proxy: Proxy) -> dict[str, float]:
    pods = proxy.items(f"/api/v1/namespaces/{SYSTEM}/pods?labelSelector=app.kubernetes.io%2Fname%3Dworkqueue-operator")
    pages = [proxy.metrics(SYSTEM, pod["metadata"]["name"], 8080) for pod in pods or ()]
    return next(page for page in pages if page)


def victims(proxy: Proxy, state: str) -> int:
    name = "workqueue_operator_scale_down_victims_total"
    return int(operator_metrics(proxy)[f'{name}{{state="{state}"}}'])


def set_bounds(work: Work, **bounds: int) -> None:
    work.kube.kubectl(
        "patch", "wq", work.name, "-n", work.namespace, "--type=merge", "-p", json.dumps({"spec": {"scaling": bounds}})
    )


@pytest.mark.shrinks
@pytest.mark.timeout(900)
def test_fifty_shrinks_of_random_size_never_signal_a_busy_worker(work: Work, proxy: Proxy) -> None:
    """Ten workers, four of them in a long task: the floor moves up and down fifty times, and those four go on."""
    work.install(
        scaling__maxReplicas=WORKERS,
        scaling__minReplicas=WORKERS,
        taskTimeoutSeconds=900,
        scaling__scaleDown__stabilizationWindowSeconds=0,
    )
    wait_until(lambda: len(work.tasks_in_progress()) == WORKERS, 180, "ten workers answer")
    work.send(["Long task" + "." * 800] * BUSY)
    busy = wait_until(lambda: busy_pods(work, BUSY), 60, "four workers are busy")
    idle_before, busy_before = victims(proxy, "idle"), victims(proxy, "busy")
    sizes = random.Random(8)
    for _ in range(SHRINKS):
        floor = sizes.randint(BUSY, WORKERS - 1)
        set_bounds(work, minReplicas=floor)
        wait_until(lambda floor=floor: work.replicas() == floor, 60, f"{floor} workers are wanted")
        assert busy <= staying_pods(work)
        set_bounds(work, minReplicas=WORKERS)
        wait_until(lambda: work.replicas() == WORKERS, 60, "ten workers are wanted again")
        wait_until(lambda: len(work.tasks_in_progress()) >= WORKERS, 60, "ten workers answer again")
    assert busy <= staying_pods(work)
    assert victims(proxy, "idle") > idle_before
    assert victims(proxy, "busy") == busy_before


def busy_pods(work: Work, count: int) -> set[str] | None:
    found = {pod for pod, tasks in work.tasks_in_progress().items() if tasks}
    return found if len(found) == count else None


def staying_pods(work: Work) -> set[str]:
    return {pod["metadata"]["name"] for pod in work.pods() if "deletionTimestamp" not in pod["metadata"]}


def test_workers_that_crash_stop_the_growth_until_they_work(work: Work) -> None:
    work.install(scaling__maxReplicas=12)
    work.settle()
    environment = [{"name": "worker", "env": [{"name": "WORKER_HANDLER", "value": "no_such_module:handle"}]}]
    patch_containers(work, environment)
    work.send(["Task."] * 10)
    unhealthy = wait_until(lambda: condition(work, "WorkersHealthy", "False"), 120, "the workers are seen to fail")
    assert "CrashLoopBackOff" in unhealthy["message"] or "Error" in unhealthy["message"]
    size = work.replicas()
    work.send(["Task."] * 100)
    wait_until(lambda: work.status()["lastDecision"]["reason"] == "WorkersFailing", 30, "the growth stops")
    assert work.replicas() == size
    patch_containers(work, [{"name": "worker", "env": [{"name": "WORKER_HANDLER", "value": None, "$patch": "delete"}]}])
    wait_until(lambda: condition(work, "WorkersHealthy", "True"), 180, "the workers are well again")
    assert "WorkersFailing" in event_reasons(work)


def test_a_person_is_told_why(work: Work, kube: Kube) -> None:
    """get, describe and explain answer how many wait, how many work, and why."""
    work.install(scaling__maxReplicas=2)
    work.settle()
    work.send(["Task....."] * 30)
    wait_until(
        lambda: work.status().get("lastDecision", {}).get("reason") == "AtMaxReplicas", 60, "it is at its maximum"
    )
    row = kube.kubectl("get", "wq", work.name, "-n", work.namespace, "--no-headers").split()
    assert row[:2] == [work.name, "True"]
    assert "AtMaxReplicas" in row
    told = kube.kubectl("describe", "wq", work.name, "-n", work.namespace)
    for expected in ("2 is maxReplicas; asked:", "ready / 5 per replica", "Backlog", "0 -> 2"):
        assert expected in told
    operator = f"deployment/{operator_name(kube)}"
    words = kube.kubectl(
        *("exec", "-n", SYSTEM, operator, "--", "python", "-m", "workqueue_operator", "explain"),
        f"{work.namespace}/{work.name}",
    )
    assert f"{work.namespace}/{work.name} runs 2 workers and should run 2" in words
    assert "AtMaxReplicas" in words
    assert [reason for reason in event_reasons(work) if reason == "Backlog"] == ["Backlog"]


def test_a_size_given_by_hand_is_kept_and_told(work: Work, kube: Kube) -> None:
    work.install()
    work.settle()
    kube.kubectl("scale", f"deployment/{work.name}-worker", "-n", work.namespace, "--replicas=2")
    wait_until(lambda: work.status()["lastDecision"]["reason"] == "ScaledManually", 30, "it is seen")
    assert work.replicas() == 2
    assert "kept at 2 as scaled by hand" in work.status()["lastDecision"]["message"]
    work.send(["Task.."] * 30)
    wait_until(lambda: work.replicas() == 6, 30, "a backlog that asks for more is stronger")


def test_beside_a_horizontal_pod_autoscaler_it_stands_back(work: Work, kube: Kube) -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{work.name}-worker"}
    kube.apply(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "cpu", "namespace": work.namespace},
            "spec": {"scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": 3},
        }
    )
    work.install(wait=False)
    # A list of the namespace's may be half a minute old at the first look, and the next look is a minute later.
    found = wait_until(lambda: condition(work, "ScalingActive", "False"), 120, "it is seen")
    assert found["reason"] == "TargetConflict"
    assert "HorizontalPodAutoscaler cpu" in found["message"]


def test_dry_run_decides_and_changes_nothing(work: Work) -> None:
    work.install(mode="DryRun")
    work.send(["Task."] * 30)
    wait_until(lambda: work.status().get("desiredReplicas") == 6, 30, "it says what it would do")
    assert work.replicas() == 1  # what a new Deployment starts with


def condition(work: Work, name: str, status: str) -> dict[str, Any] | None:
    found = work.condition(name)
    return found if found and found["status"] == status else None


def event_reasons(work: Work) -> list[str]:
    events = work.kube.get("events", "-n", work.namespace, "--field-selector", f"involvedObject.name={work.name}")
    return [event["reason"] for event in events["items"]]


def operator_name(kube: Kube) -> str:
    found = kube.get("deployments", "-n", SYSTEM)["items"]
    return str(found[0]["metadata"]["name"])


def patch_containers(work: Work, containers: list[dict[str, Any]]) -> None:
    patch = json.dumps({"spec": {"template": {"spec": {"containers": containers}}}})
    work.kube.kubectl(
        "patch", "deployment", f"{work.name}-worker", "-n", work.namespace, "--type=strategic", "-p", patch
    )
