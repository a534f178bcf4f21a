"""Scale-down: after the whole window, by workers that answer and have no task, with the marks that choose them."""

from dataclasses import dataclass, field, replace

import pytest
from workqueue_operator.cluster.port import ClusterUnavailable, Pod
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.store import Store
from workqueue_operator.tracked import Tracked

from tests.support.fakes import FakeCluster, ManualClock
from tests.support.passes import DEPLOYMENT, Operator, body, slow_scale_down


async def test_a_busy_worker_is_never_taken(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(1, tracked, Counts(30, 0))
    busy = sorted(operator.cluster.pods)[:2]
    operator.cluster.tasks.update(dict.fromkeys(busy, 1))
    await operator.after(70, tracked, Counts(0, 6))
    assert sorted(operator.cluster.pods) == busy
    assert operator.status()["lastDecision"]["reason"] == "WorkersBusy"
    assert operator.condition("ScalingLimited")["status"] == "True"
    await operator.watches_ended()
    assert operator.victims() == {"idle": 4, "busy": 0, "unknown": 0}


async def test_while_the_workers_answers_stand_the_decision_still_carries_the_newest_reading(
    operator: Operator,
) -> None:
    tracked = operator.add()
    await operator.after(100, tracked, Counts(30, 6))
    operator.cluster.tasks.update(dict.fromkeys(operator.cluster.pods, 1))
    await operator.after(100, tracked, Counts(1, 6))
    operator.clock.advance(0.2)  # within the second for which the workers' answers stand
    await operator.one_pass(tracked, Counts(2, 6))
    assert tracked.memory.reported.decision is not None
    assert tracked.memory.reported.decision.reason == "WorkersBusy"
    assert tracked.memory.reported.decision.reading == Counts(2, 6)


async def test_the_last_workers_go_once_their_tasks_are_done(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(1, tracked, Counts(30, 0))
    busy = sorted(operator.cluster.pods)[:2]
    operator.cluster.tasks.update(dict.fromkeys(busy, 1))
    await operator.after(70, tracked, Counts(0, 6))
    operator.cluster.tasks.update(dict.fromkeys(busy, 0))
    await operator.after(2, tracked, Counts(0, 2))
    assert operator.replicas == 0
    await operator.watches_ended()


async def test_a_worker_that_does_not_answer_is_kept(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(1, tracked, Counts(10, 0))
    operator.cluster.tasks.clear()
    await operator.after(300, tracked, Counts(0, 2))
    assert operator.replicas == 2


async def test_a_worker_that_gets_a_task_before_the_step_to_none_stops_it(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(1, tracked, Counts(30, 0))
    await operator.after(59, tracked, Counts(0, 6))
    busy = min(operator.cluster.pods)
    operator.cluster.next_tasks = {busy: 1}
    while operator.cluster.next_tasks:
        await operator.next_pass(tracked, Counts(0, 6))
    assert (operator.replicas, operator.status()["lastDecision"]["reason"]) == (6, "WorkersBusy")
    await operator.after(5, tracked, Counts(0, 6))
    assert set(operator.cluster.pods) == {busy}


async def test_a_worker_that_its_user_made_cheap_is_not_taken_at_work(operator: Operator) -> None:
    """It would go before all whom we mark."""
    tracked = operator.add()
    await operator.after(1, tracked, Counts(30, 0))
    cheap = max(operator.cluster.pods)
    await operator.cluster.set_deletion_cost("team", cheap, -5000)
    operator.cluster.tasks[cheap] = 1
    await operator.after(70, tracked, Counts(5, 6))
    assert operator.replicas == 6
    assert operator.status()["lastDecision"]["reason"] == "WorkersBusy"


@dataclass
class Flapping(FakeCluster):
    """Its Deployment's status changes while the workers are asked; `store` sees it, as by the watch."""

    store: Store = field(default_factory=Store)

    async def ask_tasks_in_progress(self, pod: Pod, port: int) -> int | None:
        old = self.targets[DEPLOYMENT]
        self.targets[DEPLOYMENT] = replace(old, resource_version=old.resource_version + 1)
        self.store.see_target(self.targets[DEPLOYMENT])
        return await super().ask_tasks_in_progress(pod, port)


async def test_a_status_that_changes_while_the_workers_are_asked_keeps_none_of_them(operator: Operator) -> None:
    """To 0 the whole Deployment must be as it was last seen, and its workers' readiness may flap."""
    flapping = Operator(cluster=Flapping(store=operator.store), store=operator.store, period=operator.period)
    tracked = flapping.add()
    await flapping.after(1, tracked, Counts(30, 0))
    await flapping.after(62, tracked, Counts(0, 6))
    assert flapping.writes("scale") == [6, 0]


async def test_a_dry_run_scale_down_asks_the_workers_and_marks_none(operator: Operator) -> None:
    operator.store.see_target(operator.cluster.add_deployment(DEPLOYMENT, 4))
    tracked = operator.add(mode="DryRun")
    await operator.after(70, tracked, Counts(0, 4))
    assert operator.status()["desiredReplicas"] == 0
    assert (operator.replicas, operator.writes("mark"), operator.writes("scale")) == (4, [], [])


async def test_answers_stand_only_for_the_size_that_they_were_given_at(operator: Operator) -> None:
    operator.store.see_target(operator.cluster.add_deployment(DEPLOYMENT, 4))
    tracked = operator.add(mode="DryRun")
    await operator.after(60.6, tracked, Counts(0, 4))  # just asked
    assert "4 -> 0" in operator.status()["lastDecision"]["message"]
    operator.cluster._follow(operator.cluster._change(DEPLOYMENT, 8))
    operator.store.see_target(operator.cluster.targets[DEPLOYMENT])
    await operator.next_pass(tracked, Counts(0, 8))
    assert tracked.memory.reported.decision is not None
    assert "8 -> 0" in tracked.memory.reported.decision.message


async def test_after_an_hour_without_passes_a_whole_window_is_watched_first() -> None:
    operator = Operator()
    tracked = await operator.watched()
    await operator.after(1, tracked, Counts(30, 0))
    operator.clock.advance(3600)
    await operator.after(59, tracked, Counts(0, 6))
    assert (operator.replicas, operator.status()["lastDecision"]["reason"]) == (6, "FirstWindow")
    await operator.after(5, tracked, Counts(0, 6))
    assert operator.replicas == 0
    await operator.watches_ended()


async def test_a_window_that_is_raised_is_watched_before_anyone_goes() -> None:
    operator = Operator(replicas_at_start=6)
    tracked = operator.add(scaling={"scaleDown": {"stabilizationWindowSeconds": 0}})
    await operator.after(300, tracked, Counts(30, 6))
    operator.cluster.tasks.update(dict.fromkeys(operator.cluster.pods, 1))
    await operator.after(10, tracked, Counts(0, 6))
    operator.cluster.tasks.update(dict.fromkeys(operator.cluster.pods, 0))
    raised = body(scaling={"scaleDown": {"stabilizationWindowSeconds": 600}})
    raised["metadata"]["generation"] = 2
    operator.store.see_workqueue(raised)
    await operator.after(599, tracked, Counts(0, 6))
    assert operator.replicas == 6
    await operator.after(5, tracked, Counts(0, 6))
    assert operator.replicas == 0
    await operator.watches_ended()


async def aborted_scale_down(operator: Operator, tracked: Tracked) -> set[str]:
    """Six workers, one wanted, and those that were to go have a task by the second look; answers who they are."""
    await operator.after(1, tracked, Counts(30, 0))
    to_go = set(sorted(operator.cluster.pods)[1:])
    await operator.after(59, tracked, Counts(5, 6))
    operator.cluster.next_tasks = dict.fromkeys(to_go, 1)
    while operator.cluster.next_tasks:
        await operator.next_pass(tracked, Counts(5, 6))
    return to_go


async def test_a_scale_down_that_is_given_up_says_that_workers_are_busy(operator: Operator) -> None:
    tracked = operator.add()
    await aborted_scale_down(operator, tracked)
    assert (operator.replicas, operator.writes("scale")) == (6, [6])
    last = operator.status()["lastDecision"]
    assert (last["reason"], last["replicas"]) == ("WorkersBusy", 6)
    assert [one.reason for one in operator.cluster.events] == ["Backlog"]


async def test_a_scale_down_that_is_given_up_leaves_no_mark_on_workers_at_work(operator: Operator) -> None:
    tracked = operator.add()
    await aborted_scale_down(operator, tracked)
    assert operator.writes("mark")
    assert operator.marked() == set()


async def leave_marks(operator: Operator, tracked: Tracked) -> None:
    """Have another scale-down given up, by one worker that gets a task, so that the idle ones stay marked."""
    operator.cluster.tasks.update(dict.fromkeys(operator.cluster.pods, 0))
    operator.cluster.next_tasks = {max(operator.cluster.pods): 1}
    while operator.cluster.next_tasks:
        await operator.next_pass(tracked, Counts(5, 6))
    assert (len(operator.marked()), operator.replicas) == (4, 6)


async def test_marks_go_when_no_scale_down_is_due_any_more(operator: Operator) -> None:
    tracked = operator.add()
    await aborted_scale_down(operator, tracked)
    await leave_marks(operator, tracked)
    await operator.after(5, tracked, Counts(30, 6))
    assert operator.marked() == set()
    operator.cluster.writes.clear()
    lists = operator.cluster.pod_lists
    await operator.after(100, tracked, Counts(30, 6))
    assert (operator.cluster.writes, operator.cluster.pod_lists) == ([], lists)


@pytest.mark.parametrize("mode", ["Paused", "DryRun"])
async def test_marks_go_when_the_mode_ends_the_scale_down(operator: Operator, mode: str) -> None:
    tracked = operator.add()
    await aborted_scale_down(operator, tracked)
    await leave_marks(operator, tracked)
    operator.change(tracked, mode=mode)
    await operator.after(5, tracked, Counts(5, 6))
    assert operator.marked() == set()
    assert operator.replicas == 6


async def test_marks_that_cannot_be_taken_away_stop_nothing_and_are_tried_again_now_and_then(
    operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    tracked = operator.add()
    await aborted_scale_down(operator, tracked)
    await leave_marks(operator, tracked)
    operator.cluster.mark_trouble = ClusterUnavailable("429 too many requests")
    await operator.after(12, tracked, Counts(30, 6))
    assert len(operator.marked()) == 4
    assert operator.status()["lastDecision"]["reason"] == "Steady"
    assert caplog.text.count("cannot be removed") == 3
    operator.cluster.mark_trouble = None
    await operator.after(5, tracked, Counts(30, 6))
    assert operator.marked() == set()


async def test_marks_stay_until_the_replicaset_has_acted_on_them(operator: Operator) -> None:
    tracked = await slow_scale_down(operator, silent=0)
    await operator.after(5, tracked, Counts(0, 10))
    assert len(operator.marked()) == 6
    await operator.until_counted()
    await operator.after(1, tracked, Counts(0, 10))
    assert operator.marked() == set()


async def test_marks_of_those_who_went_are_forgotten(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(1, tracked, Counts(30, 0))
    await operator.after(65, tracked, Counts(5, 6))
    assert operator.replicas == 1
    await operator.watches_ended()
    await operator.after(5, tracked, Counts(5, 1))
    lists = operator.cluster.pod_lists
    await operator.after(100, tracked, Counts(5, 1))
    assert operator.cluster.pod_lists == lists


async def test_a_task_that_comes_while_the_marks_settle_stops_the_scale_down(operator: Operator) -> None:
    """The workers are asked again after that time, so that their answers are not older for it."""

    class Settling(ManualClock):
        async def sleep(self, seconds: float) -> None:
            if operator.marked():
                operator.cluster.tasks.update(dict.fromkeys(operator.marked(), 1))

    clock = Settling()
    operator = Operator(clock=clock, period=operator.period)
    tracked = operator.add()
    await operator.after(1, tracked, Counts(30, 0))
    await operator.after(65, tracked, Counts(5, 6))
    assert operator.writes("mark")
    assert operator.replicas == 6


async def test_a_cost_that_a_user_gave_is_given_back(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(1, tracked, Counts(30, 0))
    own = max(operator.cluster.pods)
    await operator.cluster.set_deletion_cost("team", own, 50)
    await operator.after(59, tracked, Counts(5, 6))
    operator.cluster.next_tasks = dict.fromkeys(operator.cluster.pods, 1)
    await operator.after(3, tracked, Counts(5, 6))
    assert own in operator.writes("unmark") + operator.writes("mark")[1:]
    assert {pod.name: pod.deletion_cost for pod in operator.cluster.pods.values() if pod.deletion_cost} == {own: 50}


async def test_a_pod_that_vanishes_as_it_is_marked_does_not_end_the_pass(operator: Operator) -> None:
    tracked = operator.add()
    await operator.after(1, tracked, Counts(30, 0))
    operator.cluster.vanishing = {max(operator.cluster.pods)}
    await operator.after(62, tracked, Counts(5, 6))
    assert not operator.cluster.vanishing
    assert operator.replicas == 1
    assert operator.total("cluster_errors_total", kind="not_found") == 0
