"""WorkersHealthy: what keeps the workers from their work is named, and no worker is added to fare no better."""

from dataclasses import dataclass, replace
from typing import Any

from workqueue_operator.scaling.demand import Counts
from workqueue_operator.tracked import Tracked

from tests.support.fakes import FakeCluster
from tests.support.passes import DEPLOYMENT, Operator

NO_NODE = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
QUOTA = 'pods "jobs-worker-5f" is forbidden: exceeded quota: one, requested: pods=1, used: pods=1, limited: pods=1'


async def test_tasks_that_only_come_back_stop_growth_until_one_is_acked() -> None:
    operator = Operator()
    tracked = await operator.watched()
    await operator.after(1, tracked, Counts(1, 0))
    for redelivered in (0, 2, 4):
        operator.measured(tracked, published=10, acked=5, redelivered=redelivered, in_progress=1)
    await operator.after(5, tracked, Counts(100, 1))
    assert (operator.replicas, operator.status()["lastDecision"]["reason"]) == (1, "WorkersFailing")
    assert operator.condition("WorkersHealthy")["status"] == "False"
    assert operator.event_reasons == ["Backlog", "WorkersFailing"]
    operator.measured(tracked, published=10, acked=6, redelivered=4, in_progress=1)
    await operator.after(2, tracked, Counts(100, 1))
    assert (operator.replicas, operator.condition("WorkersHealthy")["status"]) == (20, "True")
    assert operator.event_reasons == ["Backlog", "WorkersFailing", "Backlog", "Healthy"]


async def test_with_no_worker_left_one_is_tried_although_tasks_only_came_back() -> None:
    operator = Operator()
    tracked = await operator.watched()
    for redelivered in (0, 30, 60):
        operator.measured(tracked, published=70, acked=0, redelivered=redelivered, in_progress=0)
    await operator.after(5, tracked, Counts(100, 0))
    assert (operator.replicas, operator.status()["lastDecision"]["reason"]) == (1, "WorkersFailing")


async def test_redeliveries_of_long_ago_stop_no_growth() -> None:
    operator = Operator()
    tracked = await operator.watched()
    for redelivered in (0, 6):
        operator.measured(tracked, published=10, acked=0, redelivered=redelivered, in_progress=1)
    for _ in range(720):
        operator.measured(tracked, published=10, acked=0, redelivered=6, in_progress=0)
    await operator.after(1, tracked, Counts(100, 0))
    assert operator.replicas == 20


async def test_a_crash_loop_stops_growth_also_between_two_crashes() -> None:
    """Its pods wait, run, are Ready and crash by turns; the breaker stays shut."""
    operator = Operator()
    tracked = await operator.watched()
    await operator.after(1, tracked, Counts(10, 0))
    for turn in range(2, 12):
        for seconds, trouble, ready in ((10, "CrashLoopBackOff", 0), (10, "", 0), (10, "", 2)):
            for name, pod in list(operator.cluster.pods.items()):
                operator.cluster.pods[name] = replace(pod, trouble=trouble, running=not trouble, restarts=turn)
            operator.ready(ready)
            await operator.after(seconds, tracked, Counts(100, ready))
            assert operator.replicas == 2
    assert operator.event_reasons.count("WorkersFailing") == 1
    assert operator.event_reasons.count("Healthy") == 0


async def test_after_a_crash_loop_growth_goes_on() -> None:
    operator = Operator()
    tracked = await operator.watched()
    await operator.after(1, tracked, Counts(10, 0))
    for name, pod in list(operator.cluster.pods.items()):
        operator.cluster.pods[name] = replace(pod, trouble="CrashLoopBackOff", running=False, restarts=5)
    operator.ready(0)
    await operator.after(10, tracked, Counts(100, 0))
    assert operator.condition("WorkersHealthy")["message"] == "2 of 2 pods fail: CrashLoopBackOff"
    for name, pod in list(operator.cluster.pods.items()):
        operator.cluster.pods[name] = replace(pod, trouble="", running=True)
    operator.ready(2)
    await operator.after(70, tracked, Counts(100, 2))
    assert (operator.replicas, operator.condition("WorkersHealthy")["status"]) == (20, "True")


@dataclass
class Looking(FakeCluster):
    """Counts how often pods are listed."""

    looks: int = 0

    async def read_pods(self, target: Any) -> Any:
        self.looks += 1
        return await super().read_pods(target)


async def test_while_all_workers_are_well_the_operator_never_looks_at_their_pods() -> None:
    cluster = Looking()
    operator = Operator(cluster=cluster, replicas_at_start=4)
    tracked = operator.add()
    await operator.after(300, tracked, Counts(20, 4))
    assert cluster.looks == 0


async def four_starting(**change: Any) -> tuple[Operator, Tracked]:
    """Four workers that are asked for, none of which is Ready; `change` is what their pods have."""
    operator = Operator(replicas_at_start=0)
    tracked = operator.add()
    await operator.after(1, tracked, Counts(20, 0))
    for name, pod in list(operator.cluster.pods.items()):
        operator.cluster.pods[name] = replace(pod, **{"running": False, "ready": False, **change})
    operator.ready(0)
    return operator, tracked


def change_deployment(operator: Operator, **change: Any) -> None:
    old = operator.cluster.targets[DEPLOYMENT]
    operator.cluster.targets[DEPLOYMENT] = replace(old, resource_version=old.resource_version + 1, **change)
    operator.store.see_target(operator.cluster.targets[DEPLOYMENT])


async def test_pods_without_a_node_stop_growth_in_the_schedulers_words() -> None:
    operator, tracked = await four_starting(pending=True, unschedulable=f"Unschedulable: {NO_NODE}")
    await operator.after(40, tracked, Counts(20, 0))
    healthy = operator.condition("WorkersHealthy")
    assert (healthy["status"], healthy["reason"]) == ("False", "WorkersFailing")
    assert healthy["message"] == f"4 of 4 pods fail: Unschedulable: {NO_NODE}"
    await operator.after(5, tracked, Counts(100, 0))
    assert (operator.replicas, operator.status()["lastDecision"]["reason"]) == (4, "WorkersFailing")


async def test_pods_that_get_a_node_soon_are_no_obstacle_and_growth_goes_on_at_once() -> None:
    operator, tracked = await four_starting(pending=True, unschedulable=f"Unschedulable: {NO_NODE}")
    await operator.after(20, tracked, Counts(20, 0))
    assert operator.condition("WorkersHealthy")["status"] == "True"
    await operator.after(20, tracked, Counts(20, 0))
    for name, pod in list(operator.cluster.pods.items()):
        operator.cluster.pods[name] = replace(pod, unschedulable="", pending=False, running=True, ready=True)
    operator.ready(4)
    await operator.after(7, tracked, Counts(100, 4))
    assert operator.replicas == 20


async def test_a_quota_stops_growth_in_the_deployments_words() -> None:
    operator, tracked = await four_starting()
    change_deployment(operator, refused=f"FailedCreate: {QUOTA}")
    await operator.after(2, tracked, Counts(100, 1))
    healthy = operator.condition("WorkersHealthy")
    assert (healthy["status"], healthy["reason"]) == ("False", "PodsRefused")
    assert healthy["message"] == f"Deployment thumbnails-worker: FailedCreate: {QUOTA}"
    assert operator.replicas == 4


async def test_a_stuck_rollout_is_reported_and_its_idle_workers_too() -> None:
    operator = Operator(replicas_at_start=3)
    tracked = operator.add()
    words = 'ProgressDeadlineExceeded: ReplicaSet "thumbnails-worker-6c" has timed out progressing.'
    change_deployment(operator, rolling_out=True, stuck=words)
    await operator.after(70, tracked, Counts(0, 3))
    assert operator.status()["lastDecision"]["reason"] == "RolloutInProgress"
    healthy = operator.condition("WorkersHealthy")
    assert (healthy["reason"], healthy["message"]) == ("RolloutStuck", f"Deployment thumbnails-worker: {words}")
    assert operator.event_reasons == ["RolloutStuck"]
    await operator.after(1, tracked, Counts(50, 3))
    assert operator.replicas == 10


async def test_ready_workers_that_leave_the_messages_alone_are_reported() -> None:
    operator = Operator(replicas_at_start=2)
    tracked = operator.add(scaling={"maxReplicas": 2})
    await operator.after(55, tracked, Counts(12, 0))
    assert operator.condition("WorkersHealthy")["status"] == "True"
    await operator.after(10, tracked, Counts(13, 0))
    healthy = operator.condition("WorkersHealthy")
    assert (healthy["status"], healthy["reason"]) == ("False", "NotConsuming")
    assert "2 workers are Ready" in healthy["message"]
    await operator.after(2, tracked, Counts(13, 2))
    assert operator.condition("WorkersHealthy")["status"] == "True"


async def test_workers_that_poll_are_no_obstacle() -> None:
    """basic.get makes no consumer, but the messages go."""
    operator = Operator(replicas_at_start=2)
    tracked = operator.add(scaling={"maxReplicas": 2})
    for ready in range(100, 80, -1):
        await operator.after(10, tracked, Counts(ready, 0))
        assert operator.condition("WorkersHealthy")["status"] == "True"
