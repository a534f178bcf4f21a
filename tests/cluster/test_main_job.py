"""The main job on a real cluster: workers come for the tasks, finish them, and go."""

import json
import signal
import threading
from contextlib import suppress

import pytest

from dev.kube import CommandFailed, Kube
from tests.support.waiting import wait_until
from tests.support.work import (
    SYSTEM,
    Work,
    broker_page,
    empty_namespace,
    install_operator,
    make_namespace,
    rabbitmqctl,
    shown_row,
)


class Watch:
    """Every size that the Deployment had."""

    def __init__(self, work: Work) -> None:
        self.sizes: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, args=(work,), daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self, work: Work) -> None:
        path = f"/apis/apps/v1/namespaces/{work.namespace}/deployments/{work.name}-worker"
        while not self._stop.wait(0.05):
            text = work.proxy.text(path)
            if text is not None:
                size = json.loads(text)["spec"]["replicas"]
                if self.sizes[-1:] != [size]:
                    self.sizes.append(size)


def test_from_nothing_to_the_wanted_size_in_one_step_and_back_to_nothing(work: Work) -> None:
    work.install()
    work.settle()
    before = work.acked_by_broker()
    with Watch(work) as watch:
        wait_until(lambda: watch.sizes == [0], 30, "the watch sees no worker")
        send_unseen(work, [f"Task {number}..." for number in range(30)])
        row = wait_until(lambda: row_if(work, REPLICAS="6"), 30, "kubectl get wq shows six")
        wait_until(lambda: work.replicas() == 0, 180, "no worker is wanted any more")
        work.settle()
    assert (row["NAME"], row["READY"], row["QUEUE"], row["DESIRED"]) == (work.name, "True", work.queue, "6")
    assert 0 < int(row["WAITING"]) <= 30
    assert row["REASON"] in ("Backlog", "Steady")
    assert watch.sizes[:2] == [0, 6]
    assert watch.sizes[1:] == sorted(watch.sizes[1:], reverse=True)  # down as the workers become idle, never up again
    assert watch.sizes[-1] == 0
    assert work.acked_by_broker() - before == 30
    assert work.counts() == (0, 0)
    assert not work.dead_lettered()
    decisions = work.status()["recentDecisions"]
    assert decisions[0]["reason"] == "BacklogDrained"
    (grew,) = [one for one in decisions if one["reason"] == "Backlog"]
    assert grew["message"].startswith("0 -> 6: 30 ready")


def send_unseen(work: Work, tasks: list[str]) -> None:
    """All of them before the first reading that counts: a reading in the middle would ask for fewer workers."""
    work.change({"mode": "Paused"})
    wait_until(lambda: work.status()["lastDecision"]["reason"] == "Paused", 30, "it is paused")
    work.send(tasks)
    wait_until(lambda: work.counts() == (len(tasks), 0), 30, "all tasks wait")
    work.change({"mode": "Active"})


def row_if(work: Work, **wanted: str) -> dict[str, str] | None:
    """What kubectl shows of the WorkQueue, by column, once these columns are so."""
    row = shown_row(work.kube.kubectl("get", "wq", work.name, "-n", work.namespace))
    return row if wanted.items() <= row.items() else None


def test_a_worker_that_a_test_leaves_with_a_long_task_ends_with_the_test(work: Work) -> None:
    """Else it acks while a later test counts, and holds its share of the node."""
    work.install(scaling__minReplicas=1, taskTimeoutSeconds=1800)
    work.send(["Long task" + "." * 1700])
    wait_until(lambda: busy_pod(work), 120, "a worker has the task")
    empty_namespace(work.kube, work.namespace)
    assert not work.pods()
    wait_until(lambda: broker_page(work.proxy)["rabbitmq_consumers"] == 0, 10, "the broker has no consumer")


def test_it_is_installed_with_a_secret_and_an_image_and_nothing_else(work: Work) -> None:
    """As in the README; and nothing of ours is on the live objects that could hold up the user who deletes them."""
    work.queue_name = work.name
    work.install_chart("worker", "--set", "broker.secretName=rabbitmq")
    work.wait_until_ready()
    work.send(["Hello World!"])
    wait_until(lambda: work.count("workqueue_tasks_acked_total") == 1, 60, "the task is acked")
    wait_until(lambda: work.counts() == (0, 0), 30, "the queue is empty")
    for kind, name in (("wq", work.name), ("deployment", f"{work.name}-worker")):
        metadata = work.kube.get(kind, name, "-n", work.namespace)["metadata"]
        assert "finalizers" not in metadata
        ours = [key for key in metadata.get("annotations", {}) if "helm.sh/" not in key and "kubernetes.io/" not in key]
        assert not ours


def test_never_above_max_replicas(work: Work) -> None:
    work.install(scaling__maxReplicas=2)
    work.settle()
    with Watch(work) as watch:
        work.send(["Task."] * 40)
        wait_until(
            lambda: work.status().get("lastDecision", {}).get("reason") == "AtMaxReplicas", 30, "it is at its maximum"
        )
        condition = work.condition("ScalingLimited")
        assert condition is not None
        assert condition["status"] == "True"
        wait_until(lambda: work.replicas() == 0, 180, "no worker is wanted any more")
    assert max(watch.sizes) == 2


def test_a_worker_killed_in_the_middle_of_a_task_loses_nothing(work: Work) -> None:
    """SIGKILL: the broker hands the task to the other worker, which counts it as redelivered and acks it."""
    work.install(scaling__minReplicas=2, scaling__maxReplicas=2)
    share_process_namespace(work)
    work.send(["Long task" + "." * 15])
    busy = wait_until(lambda: busy_pod(work), 60, "a worker has the task")
    (other,) = set(work.running()) - {busy}
    kill_worker(work, busy)
    wait_until(lambda: work.metric(other, "workqueue_tasks_redelivered_total") == 1, 60, "the other worker has it")
    wait_until(lambda: work.metric(other, "workqueue_tasks_acked_total") == 1, 90, "the other worker acks it")
    wait_until(lambda: work.counts() == (0, 0), 30, "the queue is empty")
    assert work.count("workqueue_tasks_acked_total") == 1
    assert not work.dead_lettered()


def test_a_worker_deleted_in_the_middle_of_a_task_finishes_it(work: Work) -> None:
    """A normal delete: the task is acked by the worker that had it, and no other worker gets it."""
    work.install(scaling__minReplicas=2, scaling__maxReplicas=2)
    wait_until(lambda: len(work.tasks_in_progress()) == 2, 120, "two workers answer")
    work.send(["Long task" + "." * 10])
    busy = wait_until(lambda: busy_pod(work), 60, "a worker has the task")
    with work.following(busy) as outcomes:
        work.kube.kubectl("delete", "pod", busy, "-n", work.namespace, "--timeout=60s")
        done = outcomes()
    assert [one["outcome"] for one in done] == ["done"]
    assert busy not in [pod["metadata"]["name"] for pod in work.pods()]
    wait_until(lambda: work.counts() == (0, 0), 30, "the queue is empty")
    wait_until(lambda: len(work.tasks_in_progress()) == 2, 120, "two workers answer again")
    assert work.count("workqueue_tasks_redelivered_total") == 0
    assert work.count("workqueue_tasks_received_total") == 0
    assert not work.dead_lettered()


def test_a_broker_that_stops_for_twenty_seconds_under_load_costs_nothing(work: Work) -> None:
    """The operator holds, the workers come back, every task is done, and new work makes the workers more again."""
    work.install(scaling__minReplicas=4, scaling__maxReplicas=8)
    wait_until(lambda: len(work.tasks_in_progress()) == 4, 120, "four workers answer")
    tasks = [f"Task {number}...." for number in range(20)]
    with Watch(work) as watch:
        work.send(tasks)
        wait_until(lambda: sum(work.tasks_in_progress().values()) == 4, 30, "four tasks are in progress")
        outage(work, watch)
        wait_until(lambda: condition_is(work, "QueueObserved", "True"), 60, "the queue is read again")
        # By id, as a task whose ack was lost with the connection is done twice.
        wait_until(lambda: len(done(work)) == len(tasks), 180, "every task is done")
        wait_until(lambda: work.counts() == (0, 0), 60, "the queue is empty")
    workers = work.running()
    assert len(workers) == 4
    assert all((work.metric(worker, "workqueue_broker_reconnects_total") or 0) >= 1 for worker in workers)
    assert not work.dead_lettered()
    work.send([f"New task {number}...." for number in range(40)])
    wait_until(lambda: work.replicas() == 8, 60, "the workers grow again")


def done(work: Work) -> set[str]:
    """The ids of the tasks that the workers log as done."""
    records = [record for worker in work.running() for record in work.outcomes(worker)]
    return {record["id"] for record in records if record["outcome"].startswith("done")}


def outage(work: Work, watch: Watch) -> None:
    """Twenty seconds without a broker, in which the operator holds and says so."""
    rabbitmqctl(work.kube, "stop_app")
    try:
        observed = wait_until(lambda: condition_is(work, "QueueObserved", "False"), 20, "the queue is unknown")
        assert observed["reason"] in ("Unavailable", "QueueMissing", "AccessRefused")
        before = list(watch.sizes)
        threading.Event().wait(20)
        assert watch.sizes == before == [4]
        assert condition_is(work, "QueueObserved", "False")
        assert work.status()["lastDecision"]["reason"] == "QueueUnknown"
    finally:
        rabbitmqctl(work.kube, "start_app")


@pytest.mark.parametrize(
    "order",
    [("operator", "queue", "namespace"), ("queue", "operator", "namespace"), ("namespace", "operator")],
    ids=" ".join,
)
def test_uninstalling_in_any_order_never_hangs(kube: Kube, work: Work, order: tuple[str, ...]) -> None:
    """Nothing waits for anything else: no finalizer is left behind, whichever is uninstalled first."""
    work.install(scaling__minReplicas=1)
    wait_until(lambda: len(work.tasks_in_progress()) == 1, 120, "a worker answers")
    soon = ("--wait", "--timeout", "60s")
    steps = {
        "operator": lambda: kube.helm("uninstall", "operator", "-n", SYSTEM, *soon),
        "queue": lambda: kube.helm("uninstall", work.name, "-n", work.namespace, *soon),
        "namespace": lambda: kube.kubectl("delete", "namespace", work.namespace, "--wait", "--timeout=60s"),
    }
    try:
        for step in order:
            steps[step]()
    finally:
        make_namespace(kube, work.namespace)
        install_operator(kube)


def busy_pod(work: Work) -> str | None:
    return next((pod for pod, tasks in work.tasks_in_progress().items() if tasks), None)


def condition_is(work: Work, name: str, status: str) -> dict[str, str] | None:
    found = work.condition(name)
    return found if found and found["status"] == status else None


def share_process_namespace(work: Work) -> None:
    """Let `kubectl exec` see the worker as another process than 1, which a signal from inside cannot kill."""
    patch = '{"spec": {"template": {"spec": {"shareProcessNamespace": true}}}}'
    deployment = f"deployment/{work.name}-worker"
    work.kube.kubectl("patch", deployment, "-n", work.namespace, "--type=merge", "--patch", patch)
    work.kube.kubectl("rollout", "status", deployment, "-n", work.namespace, "--timeout=120s")
    wait_until(lambda: len(work.pods()) == 2, 60, "the pods of before have gone")


#: The exit code of a container whose process SIGKILL ended.
KILLED = 128 + signal.SIGKILL
KILL_WORKER = """
import os, pathlib, signal
for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    pid = int(path.parent.name)
    if pid != os.getpid() and b"workqueue_worker" in path.read_bytes():
        os.kill(pid, signal.SIGKILL)
"""


def kill_worker(work: Work, pod: str) -> None:
    """SIGKILL to the worker's process. With it the container ends, at times before kubectl has its command's result."""
    with suppress(CommandFailed):
        work.kube.kubectl("exec", "-n", work.namespace, pod, "--", "python", "-c", KILL_WORKER)
    wait_until(lambda: KILLED in exit_codes(work, pod), 60, "the worker's container ended by SIGKILL")


def exit_codes(work: Work, pod: str) -> set[int]:
    """Those of the ends of a pod's containers that the kubelet reports: the last one, and the one before a restart."""
    (found,) = [one for one in work.pods() if one["metadata"]["name"] == pod]
    states = [one[name] for one in found["status"]["containerStatuses"] for name in ("state", "lastState")]
    return {state["terminated"]["exitCode"] for state in states if "terminated" in state}
