"""The main job on a real cluster: workers come for the tasks, finish them, and go."""

import json
import threading

from kube import Kube
from waiting import wait_until
from work import SYSTEM, Work, install_operator, rabbitmqctl


class Watch:
    """Every size that the Deployment had, and what each worker last told of its acks, also those that have gone."""

    def __init__(self, work: Work) -> None:
        self.sizes: list[int] = []
        self._acks: dict[str, int] = {}
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
            for pod in work.running():
                self._acks[pod] = work.metric(pod, "workqueue_tasks_acked_total") or self._acks.get(pod, 0)

    @property
    def acked(self) -> int:
        return sum(self._acks.values())


def test_from_nothing_to_the_wanted_size_in_one_step_and_back_to_nothing(work: Work) -> None:
    work.install()
    work.settle()
    with Watch(work) as watch:
        wait_until(lambda: watch.sizes == [0], 30, "the watch sees no worker")
        work.send([f"Task {number}.." for number in range(30)])
        wait_until(lambda: work.replicas() == 6, 30, "six workers are asked for")
        listed = wait_until(
            lambda: [
                line for line in work.kube.kubectl("get", "wq", "-n", work.namespace).splitlines() if " 6 " in line
            ],
            30,
            "kubectl get wq tells six",
        )
        assert "True" in listed[0]
        wait_until(lambda: work.replicas() == 0, 180, "no worker is wanted any more")
        wait_until(lambda: not work.pods(), 60, "no worker is left")
    assert watch.sizes[:2] == [0, 6]
    assert watch.sizes[1:] == sorted(watch.sizes[1:], reverse=True)  # down as the workers become idle, never up again
    assert watch.sizes[-1] == 0
    assert watch.acked == 30
    assert work.counts() == (0, 0)
    assert not dead_lettered(work)
    reasons = [one["reason"] for one in work.status()["recentDecisions"]]
    assert reasons[0] == "BacklogDrained"
    assert "Backlog" in reasons


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
    """SIGKILL: the broker hands the task to another worker, which counts it as redelivered."""
    work.install(scaling__minReplicas=2, scaling__maxReplicas=2)
    share_process_namespace(work)
    work.send(["Long task" + "." * 15])
    busy = wait_until(lambda: busy_pod(work), 60, "a worker has the task")
    kill_worker(work, busy)
    wait_until(lambda: work.count("workqueue_tasks_redelivered_total") >= 1, 60, "the task is redelivered")
    wait_until(lambda: work.count("workqueue_tasks_acked_total") == 1, 90, "the task is acked")
    wait_until(lambda: work.counts() == (0, 0), 30, "the queue is empty")


def test_a_worker_deleted_in_the_middle_of_a_task_finishes_it(work: Work) -> None:
    """A normal delete: the task is acked by the one that had it, and nobody gets it again."""
    work.install(scaling__minReplicas=2, scaling__maxReplicas=2)
    wait_until(lambda: len(work.running()) == 2, 120, "two workers run")
    work.send(["Long task" + "." * 10])
    busy = wait_until(lambda: busy_pod(work), 60, "a worker has the task")
    work.kube.kubectl("delete", "pod", busy, "-n", work.namespace, "--wait=false")
    acked = wait_until(
        lambda: work.metric(busy, "workqueue_tasks_acked_total") or gone(work, busy),
        60,
        "the task is acked, or the pod gone",
    )
    assert acked
    wait_until(lambda: work.counts() == (0, 0), 60, "the queue is empty")
    wait_until(lambda: gone(work, busy), 60, "the pod has gone")
    assert work.count("workqueue_tasks_redelivered_total") == 0
    assert work.count("workqueue_tasks_received_total") == 0


def test_a_broker_that_stops_for_twenty_seconds_under_load_costs_nothing(work: Work) -> None:
    """The operator holds, the workers come back, nothing is lost, the scaling goes on."""
    work.install(scaling__maxReplicas=4)
    work.settle()
    with Watch(work) as watch:
        work.send([f"Task {number}..." for number in range(40)])
        wait_until(lambda: len(work.running()) == 4, 60, "four workers run")
        outage(work)
        wait_until(lambda: condition_is(work, "QueueObserved", "True"), 60, "the queue is read again")
        wait_until(lambda: work.replicas() == 0, 240, "no worker is wanted any more")
    assert watch.acked >= 40  # more when a task was done and its ack lost with the connection
    wait_until(lambda: work.counts() == (0, 0), 30, "the queue is empty")
    assert not dead_lettered(work)


def outage(work: Work) -> None:
    """Twenty seconds without a broker, in which the operator holds and says so."""
    rabbitmqctl(work.kube, "stop_app")
    try:
        observed = wait_until(lambda: condition_is(work, "QueueObserved", "False"), 20, "the queue is unknown")
        assert observed["reason"] in ("Unavailable", "QueueMissing", "AccessRefused")
        threading.Event().wait(20)
        assert work.replicas() == 4
        assert condition_is(work, "QueueObserved", "False")
    finally:
        rabbitmqctl(work.kube, "start_app")


def test_uninstalling_in_any_order_never_hangs(kube: Kube, work: Work) -> None:
    """The operator first, then the WorkQueue, then the namespace: no finalizer waits for anybody."""
    work.install()
    kube.helm("uninstall", "operator", "-n", SYSTEM, "--wait", "--timeout", "60s")
    try:
        kube.kubectl("delete", "wq", work.name, "-n", work.namespace, "--wait", "--timeout=10s")
        kube.kubectl("delete", "namespace", work.namespace, "--wait", "--timeout=120s")
    finally:
        install_operator(kube, SYSTEM)


def busy_pod(work: Work) -> str | None:
    return next((pod for pod, tasks in work.tasks_in_progress().items() if tasks), None)


def gone(work: Work, pod: str) -> bool:
    return pod not in [one["metadata"]["name"] for one in work.pods()]


def condition_is(work: Work, name: str, status: str) -> dict[str, str] | None:
    found = work.condition(name)
    return found if found and found["status"] == status else None


def dead_lettered(work: Work) -> int:
    """Messages in the dead-letter queue, which is made when the first one comes."""
    listed = json.loads(rabbitmqctl(work.kube, "list_queues", "name", "messages", "--formatter=json"))
    return sum(item["messages"] for item in listed if item["name"] == f"{work.queue}.dead")


def share_process_namespace(work: Work) -> None:
    """Let `kubectl exec` see the worker as another process than 1, which a signal from inside cannot kill."""
    patch = '{"spec": {"template": {"spec": {"shareProcessNamespace": true}}}}'
    deployment = f"deployment/{work.name}-worker"
    work.kube.kubectl("patch", deployment, "-n", work.namespace, "--type=merge", "--patch", patch)
    work.kube.kubectl("rollout", "status", deployment, "-n", work.namespace, "--timeout=120s")
    wait_until(lambda: len(work.pods()) == 2, 60, "the pods of before have gone")


KILL_WORKER = """
import os, pathlib, signal
for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    pid = int(path.parent.name)
    if pid != os.getpid() and b"workqueue_worker" in path.read_bytes():
        os.kill(pid, signal.SIGKILL)
"""


def kill_worker(work: Work, pod: str) -> None:
    """SIGKILL to the worker's process."""
    work.kube.kubectl("exec", "-n", work.namespace, pod, "--", "python", "-c", KILL_WORKER)
