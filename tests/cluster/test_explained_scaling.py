"""Scaling that interrupts no task and explains itself, on a real cluster."""

import json
import random
from functools import partial
from typing import Any

import pytest

from dev.kube import CommandFailed, Kube, Proxy
from tests.support.waiting import wait_until
from tests.support.work import SYSTEM, Work, operator_metrics

BUSY, WORKERS = 4, 10


def victims(proxy: Proxy) -> dict[str, int]:
    name, page = "workqueue_operator_scale_down_victims_total", operator_metrics(proxy)
    return {
        state: int(sum(value for key, value in page.items() if key.startswith(name) and f'state="{state}"' in key))
        for state in ("idle", "busy", "unknown")
    }


def several_looks(proxy: Proxy) -> None:
    """Wait until the operator has read its queues ten more times."""
    name = "workqueue_operator_readings_total"
    before = operator_metrics(proxy)[name]
    wait_until(lambda: operator_metrics(proxy)[name] >= before + 10, 60, "ten more readings")


def set_bounds(work: Work, **bounds: int) -> None:
    change(work, scaling=bounds)


def change(work: Work, **spec: Any) -> None:
    patch = json.dumps({"spec": spec})
    work.kube.kubectl("patch", "wq", work.name, "-n", work.namespace, "--type=merge", "-p", patch)


@pytest.mark.once
def test_five_scale_downs_never_signal_a_busy_worker(work: Work, proxy: Proxy) -> None:
    scale_down_beside_busy_workers(work, proxy, scale_downs=5)


@pytest.mark.scale_downs
@pytest.mark.timeout(1800)
def test_fifty_scale_downs_of_random_size_never_signal_a_busy_worker(work: Work, proxy: Proxy) -> None:
    scale_down_beside_busy_workers(work, proxy, scale_downs=50)


def scale_down_beside_busy_workers(work: Work, proxy: Proxy, *, scale_downs: int) -> None:
    """Ten workers, four of them in a long task: the floor moves down and up, and those four go on.

    Each worker that went is counted, and none as busy; one that does not answer for want of processor time is unknown.
    """
    work.install(
        scaling__maxReplicas=WORKERS,
        scaling__minReplicas=WORKERS,
        taskTimeoutSeconds=1800,
        scaling__scaleDown__stabilizationWindowSeconds=0,
    )
    wait_until(lambda: all_ready(work, WORKERS), 180, "ten workers are Ready")
    work.send(["Long task" + "." * 1700] * BUSY)
    busy = wait_until(lambda: busy_pods(work, BUSY), 60, "four workers are busy")
    before, went, sizes = victims(proxy), set[str](), random.Random(8)
    for _ in range(scale_downs):
        staying = set(work.staying())
        floor = sizes.randint(BUSY, WORKERS - 1)
        set_bounds(work, minReplicas=floor)
        wait_until(partial(stay, work, floor), 60, f"{floor} workers stay")
        assert not busy & work.going(), "a busy worker was deleted"
        went |= staying - set(work.staying())
        set_bounds(work, minReplicas=WORKERS)
        wait_until(lambda: all_ready(work, WORKERS), 120, "ten workers are Ready again")
    assert busy <= set(work.staying())
    counted = wait_until(lambda: counted_since(proxy, before, len(went)), 60, f"{len(went)} workers are counted")
    print(f"{scale_downs} scale-downs, {len(went)} workers left: {counted}")
    assert counted["busy"] == 0
    assert counted["idle"] + counted["unknown"] == len(went)


def counted_since(proxy: Proxy, before: dict[str, int], least: int) -> dict[str, int]:
    """What the operator counted since, once it is so many."""
    counted = {state: count - before[state] for state, count in victims(proxy).items()}
    assert sum(counted.values()) >= least, counted
    return counted


def stay(work: Work, pods: int) -> bool:
    return len(work.staying()) == pods


def all_ready(work: Work, count: int) -> bool:
    staying = work.staying()
    return len(staying) == count and all(staying.values())


def busy_pods(work: Work, count: int) -> set[str] | None:
    found = {pod for pod, tasks in work.tasks_in_progress().items() if tasks}
    return found if len(found) == count else None


def test_workers_that_crash_stop_the_growth_until_they_work(work: Work) -> None:
    work.install(scaling__maxReplicas=12)
    work.settle()
    environment = [{"name": "worker", "env": [{"name": "WORKER_HANDLER", "value": "no_such_module:handle"}]}]
    patch_containers(work, environment)
    work.send(["Task."] * 10)
    unhealthy = wait_until(lambda: condition(work, "WorkersHealthy", "False"), 120, "the workers are seen to fail")
    assert any(word in unhealthy["message"] for word in ("CrashLoopBackOff", "a container ended")), unhealthy
    size = work.replicas()
    work.send(["Task."] * 100)
    wait_until(lambda: work.status()["lastDecision"]["reason"] == "WorkersFailing", 30, "the growth stops")
    assert work.replicas() == size
    patch_containers(work, [{"name": "worker", "env": [{"name": "WORKER_HANDLER", "value": None, "$patch": "delete"}]}])
    wait_until(lambda: condition(work, "WorkersHealthy", "True"), 180, "the workers are well again")
    assert "WorkersFailing" in event_reasons(work)


def test_a_person_reads_why(work: Work, kube: Kube) -> None:
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
    described = kube.kubectl("describe", "wq", work.name, "-n", work.namespace)
    for expected in ("2 is maxReplicas; asked:", "ready / 5 per replica", "Backlog", "0 -> 2"):
        assert expected in described
    operator = f"deployment/{operator_name(kube)}"
    words = kube.kubectl(
        *("exec", "-n", SYSTEM, operator, "--", "python", "-m", "workqueue_operator", "explain"),
        f"{work.namespace}/{work.name}",
    )
    assert f"{work.namespace}/{work.name}: 2 workers desired since" in words
    assert "The queue asks for 2; the Deployment has 2 replicas" in words
    assert "AtMaxReplicas" in words
    assert [reason for reason in event_reasons(work) if reason == "Backlog"] == ["Backlog"]


def test_a_size_given_by_hand_or_by_a_manifest_is_kept_and_its_field_manager_named(
    work: Work, kube: Kube, proxy: Proxy
) -> None:
    """The field has a manager from the operator's first scale on, so that the next user who changes it is named."""
    work.install()
    work.settle()
    kube.kubectl("scale", f"deployment/{work.name}-worker", "-n", work.namespace, "--replicas=2")
    wait_until(lambda: "kept at 2, which kubectl set" in work.status()["lastDecision"]["message"], 30, "it is seen")
    several_looks(proxy)
    assert work.replicas() == 2
    apply_size(work, 3, "--force-conflicts")
    wait_until(lambda: "kept at 3, which gitops set" in work.status()["lastDecision"]["message"], 30, "it is seen")
    work.send(["Task" + "." * 60] * 30)
    wait_until(lambda: work.replicas() == 6, 30, "a backlog that asks for more is stronger")
    with pytest.raises(CommandFailed, match='conflict with "workqueue-operator"'):
        apply_size(work, 8)
    apply_size(work, 8, "--force-conflicts")  # more: a worker that has to go would finish its task first
    wait_until(lambda: "kept at 8, which gitops set" in work.status()["lastDecision"]["message"], 30, "it is seen")
    assert work.replicas() == 8


def apply_size(work: Work, replicas: int, *options: str) -> None:
    """Server-side apply of a manifest that sets spec.replicas."""
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"{work.name}-worker", "namespace": work.namespace},
        "spec": {"replicas": replicas},
    }
    apply = ("apply", "--server-side", "--field-manager=gitops", "--filename", "-", *options)
    work.kube.kubectl(*apply, given=json.dumps(deployment))


def test_beside_a_horizontal_pod_autoscaler_it_stands_back(work: Work, kube: Kube, proxy: Proxy) -> None:
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
    # A list of the namespace's may be five seconds old at the first look, and the next look is a minute later.
    found = wait_until(lambda: condition(work, "ScalingActive", "False"), 120, "it is seen")
    assert found["reason"] == "TargetConflict"
    assert "HorizontalPodAutoscaler cpu" in found["message"]
    work.send(["Task" + "." * 60] * 30)
    several_looks(proxy)
    assert work.replicas() == 1  # what the other one keeps it at
    assert "Backlog" not in event_reasons(work)


def test_of_two_on_one_deployment_the_younger_stands_back(work: Work, kube: Kube, proxy: Proxy) -> None:
    work.install()
    spec = {"broker": {"secretName": "rabbitmq"}, "queue": {"name": f"late-{work.queue}"}}
    target = {"scaleTargetRef": {"name": f"{work.name}-worker"}, "scaling": {"minReplicas": 5}}
    metadata = {"name": "late", "namespace": work.namespace}
    kube.apply(
        {"apiVersion": "workqueue.dev/v1alpha1", "kind": "WorkQueue", "metadata": metadata, "spec": spec | target}
    )
    late = Work(kube, proxy, work.namespace, "late")
    found = wait_until(lambda: condition(late, "ScalingActive", "False"), 60, "it is seen")
    assert found["reason"] == "TargetConflict"
    assert f"the older WorkQueue {work.namespace}/{work.name} scales {work.name}-worker" in found["message"]
    work.send(["Task..."] * 10)
    wait_until(lambda: work.replicas() == 2, 60, "the older one scales")
    several_looks(proxy)
    assert work.replicas() == 2
    assert condition(work, "ScalingActive", "True")


def test_paused_with_a_backlog_it_leaves_the_workers_alone(work: Work, kube: Kube, proxy: Proxy) -> None:
    work.install(mode="Paused")
    kube.kubectl("scale", f"deployment/{work.name}-worker", "-n", work.namespace, "--replicas=2")
    work.send(["Task" + "." * 60] * 30)
    wait_until(lambda: work.status().get("messagesReady", 0) >= 28, 60, "the status reports the backlog")
    several_looks(proxy)
    assert (work.replicas(), work.marked()) == (2, set())
    assert work.status()["lastDecision"]["reason"] == "Paused"


def test_a_restarted_operator_watches_a_whole_window_before_it_scales_down(work: Work, kube: Kube) -> None:
    work.install(scaling__minReplicas=2, scaling__scaleDown__stabilizationWindowSeconds=15)
    wait_until(lambda: all_ready(work, 2), 120, "two workers are Ready")
    deployment = f"deployment/{operator_name(kube)}"
    set_bounds(work, minReplicas=0)
    kube.kubectl("rollout", "restart", deployment, "-n", SYSTEM)
    kube.kubectl("rollout", "status", deployment, "-n", SYSTEM, "--timeout=120s")
    wait_until(lambda: work.status()["lastDecision"]["reason"] == "FirstWindow", 60, "it says that it waits")
    assert len(work.staying()) == 2
    wait_until(lambda: work.replicas() == 0, 60, "after the window the workers go")


def test_no_scale_down_in_a_rollout(work: Work, kube: Kube, proxy: Proxy) -> None:
    """Costs compare only within one ReplicaSet. This rollout cannot end: there is no such image."""
    work.install(scaling__minReplicas=2, scaling__scaleDown__stabilizationWindowSeconds=0)
    wait_until(lambda: all_ready(work, 2), 120, "two workers are Ready")
    workers = set(work.staying())
    patch_containers(work, [{"name": "worker", "image": "localhost/workqueue/nowhere:none"}])
    wait_until(lambda: len(work.staying()) > 2, 60, "a pod of the new template is made")
    set_bounds(work, minReplicas=0)
    wait_until(lambda: work.status()["lastDecision"]["reason"] == "RolloutInProgress", 30, "it says that it waits")
    several_looks(proxy)
    assert work.replicas() == 2
    assert workers <= set(work.staying())
    kube.kubectl("rollout", "undo", f"deployment/{work.name}-worker", "-n", work.namespace)
    wait_until(lambda: work.replicas() == 0, 60, "after it the workers go")


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
