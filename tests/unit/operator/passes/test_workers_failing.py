"""While tasks only come back, or pods crash, the workers do not grow in number."""

from dataclasses import dataclass, replace
from typing import Any

from workqueue_operator.scaling.demand import Counts

from tests.support.fakes import FakeCluster
from tests.support.passes import Operator


async def test_tasks_that_only_come_back_stop_growth_until_one_is_acked() -> None:
    operator = Operator()
    tracked = await operator.watched()
    await operator.after(1, tracked, Counts(1, 0))
    for redelivered in (0, 2, 4):
        operator.measured(tracked, published=10, acked=5, redelivered=redelivered, in_progress=1)
    await operator.after(5, tracked, Counts(100, 1))
    assert (operator.replicas, operator.status()["lastDecision"]["reason"]) == (1, "WorkersFailing")
    assert operator.condition("WorkersHealthy")["status"] == "False"
    assert operator.told == ["Backlog", "WorkersFailing"]
    operator.measured(tracked, published=10, acked=6, redelivered=4, in_progress=1)
    await operator.after(2, tracked, Counts(100, 1))
    assert (operator.replicas, operator.condition("WorkersHealthy")["status"]) == (20, "True")
    assert operator.told == ["Backlog", "WorkersFailing", "Backlog", "Healthy"]


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
    assert operator.told.count("WorkersFailing") == 1
    assert operator.told.count("Healthy") == 0


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


async def test_while_all_workers_are_well_nobody_looks_at_their_pods() -> None:
    operator = Operator(cluster=Looking(), replicas_at_start=4)
    tracked = operator.add()
    await operator.after(300, tracked, Counts(20, 4))
    assert operator.cluster.looks == 0  # type: ignore[attr-defined]
