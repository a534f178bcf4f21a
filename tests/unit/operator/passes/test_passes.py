"""Whole passes over a WorkQueue, on the fakes: what is written, when, and what is not."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from workqueue_operator.cluster.port import ClusterUnavailable, Pod
from workqueue_operator.passes.gather import MANUAL_SECONDS
from workqueue_operator.passes.victim_watch import WATCH_SECONDS
from workqueue_operator.rabbitmq.queue_policy import Verdict, missing_management_api
from workqueue_operator.resource import Key, WorkQueue
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.deletion_order import GOING_COST
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.store import PolicyCheck, Store, Tracked

from tests.support.fakes import FakeCluster, ManualClock
from tests.support.passes import DEPLOYMENT, WORKQUEUE, Operator, body

AWAY = Unknown("Unavailable", "connection refused")


@dataclass
class World(Operator):
    """The operator with passes a period apart, each of which lets the time go on first."""

    replicas_at_start: int | None = None
    #: Seconds between two passes.
    period: float = 1.0

    async def after(self, seconds: float, tracked: Tracked, reading: Counts | Unknown) -> None:  # type: ignore[override]
        """Let time pass with this reading."""
        for _ in range(round(seconds / self.period)):
            await self.one_pass(tracked, reading)

    async def one_pass(self, tracked: Tracked, reading: Counts | Unknown) -> None:
        self.clock.advance(self.period)
        await self.reconciler.reconcile(tracked, reading)

    async def until_counted(self) -> None:
        """Let the watch over those that go come to its end."""
        self.clock.advance(WATCH_SECONDS)
        await self.reconciler.wait()

    def change(self, tracked: Tracked, **spec: Any) -> None:
        """Another spec of the same WorkQueue."""
        made = body(tracked.key.name, **spec)
        made["metadata"]["generation"] = tracked.generation + 1
        self.store.see_workqueue(made)

    def marked(self) -> set[str]:
        return {pod.name for pod in self.cluster.pods.values() if pod.deletion_cost == GOING_COST}

    def victims(self) -> dict[str, float]:
        states = ("idle", "busy", "unknown")
        return {state: self.of_workqueue("scale_down_victims_total", state=state) for state in states}

    def of_workqueue(self, name: str, **labels: str) -> float:
        return self.count(name, namespace=WORKQUEUE.namespace, workqueue=WORKQUEUE.name, **labels)

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"workqueue_operator_{name}", labels) or 0.0


@pytest.fixture(params=[1.0, 0.2], ids=["a pass a second", "five a second"])
def world(request: pytest.FixtureRequest) -> World:
    made = World(period=request.param)
    made.cluster.add_deployment(DEPLOYMENT, 0)
    return made


async def test_from_nothing_to_work_and_back_to_nothing(world: World) -> None:
    """The main job: up in one step, down in one step after the window."""
    tracked = world.add()
    await world.after(1, tracked, Counts(30, 0))
    assert world.replicas == 6
    await world.after(59, tracked, Counts(0, 6))
    assert world.replicas == 6
    await world.after(3, tracked, Counts(0, 6))
    assert world.replicas == 0
    assert world.writes("scale") == [6, 0]
    assert [one.reason for one in world.cluster.events] == ["Backlog", "BacklogDrained"]


@dataclass
class Flapping(FakeCluster):
    """Its Deployment's status changes while the workers are asked; `store` sees it, as by the watch."""

    store: Store = field(default_factory=Store)

    async def ask_tasks_in_progress(self, pod: Pod, port: int) -> int | None:
        old = self.targets[DEPLOYMENT]
        self.targets[DEPLOYMENT] = replace(old, resource_version=old.resource_version + 1)
        self.store.see_target(self.targets[DEPLOYMENT])
        return await super().ask_tasks_in_progress(pod, port)


async def test_a_status_that_changes_while_the_workers_are_asked_keeps_none_of_them(world: World) -> None:
    """To 0 the whole Deployment must be as it was last seen, and its workers' readiness may flap."""
    flapping = World(cluster=Flapping(store=world.store), store=world.store, period=world.period)
    flapping.cluster.add_deployment(DEPLOYMENT, 0)
    tracked = flapping.add()
    await flapping.after(1, tracked, Counts(30, 0))
    await flapping.after(62, tracked, Counts(0, 6))
    assert flapping.writes("scale") == [6, 0]


async def test_the_status_tells_the_decision_in_numbers(world: World) -> None:
    tracked = world.add()
    await world.one_pass(tracked, Counts(30, 0))
    status = world.status()
    assert (status["desiredReplicas"], status["replicas"], status["messagesReady"]) == (6, 6, 30)
    assert status["lastDecision"]["reason"] == "Backlog"
    assert status["lastDecision"]["message"] == "0 -> 6: 30 ready / 5 per replica = 6"
    assert status["recentDecisions"] == [status["lastDecision"]]
    assert world.condition("Ready")["status"] == "True"


async def test_nothing_is_written_while_nothing_changes(world: World) -> None:
    tracked = world.add()
    await world.after(100, tracked, Counts(0, 0))
    world.cluster.writes.clear()
    world.cluster.events.clear()
    await world.after(300, tracked, Counts(0, 0))
    assert world.cluster.writes == []
    assert world.cluster.events == []


async def test_moving_counts_are_written_every_few_seconds_only(world: World) -> None:
    tracked = world.add(mode="Paused")
    await world.after(1, tracked, Counts(0, 1))
    world.cluster.writes.clear()
    for ready in range(1, 21):
        await world.after(1, tracked, Counts(ready, 1))
    assert len(world.writes("status")) == 4


async def test_an_unknown_queue_holds_the_workers_and_says_so(world: World) -> None:
    tracked = world.add()
    await world.after(1, tracked, Counts(30, 0))
    await world.after(600, tracked, AWAY)
    assert world.replicas == 6
    condition = world.condition("QueueObserved")
    assert (condition["status"], condition["reason"]) == ("False", "Unavailable")
    assert world.condition("Ready")["status"] == "False"
    assert [one.reason for one in world.cluster.events] == ["Backlog", "Unavailable"]


async def test_counts_of_a_queue_that_cannot_be_read_are_taken_out_of_the_status(world: World) -> None:
    tracked = world.add()
    await world.after(1, tracked, Counts(30, 0))
    await world.after(1, tracked, AWAY)
    assert {"messagesReady", "consumers"} & world.status().keys() == set()


async def test_a_size_changed_while_paused_is_no_size_given_by_hand(world: World) -> None:
    tracked = world.add(mode="Paused")
    await world.after(70, tracked, Counts(0, 0))
    world.store.see_target(world.cluster._change(DEPLOYMENT, 4))
    await world.after(5, tracked, Counts(0, 4))
    active = body()
    active["metadata"]["generation"] = 2
    world.store.see_workqueue(active)
    await world.after(5, tracked, Counts(0, 4))
    assert world.status()["lastDecision"]["reason"] != "ScaledManually"
    await world.reconciler.wait()


async def test_a_queue_that_is_read_again_is_told_once(world: World) -> None:
    tracked = world.add()
    await world.after(10, tracked, AWAY)
    await world.after(10, tracked, Counts(0, 0))
    assert world.condition("QueueObserved")["status"] == "True"
    assert [(one.type, one.message) for one in world.cluster.events] == [
        ("Warning", "connection refused"),
        ("Normal", "QueueObserved again"),
    ]


async def test_a_busy_worker_is_never_taken(world: World) -> None:
    tracked = world.add()
    await world.after(1, tracked, Counts(30, 0))
    busy = sorted(world.cluster.pods)[:2]
    world.cluster.tasks.update(dict.fromkeys(busy, 1))
    await world.after(70, tracked, Counts(0, 6))
    assert sorted(world.cluster.pods) == busy
    assert world.status()["lastDecision"]["reason"] == "WorkersBusy"
    assert world.condition("ScalingLimited")["status"] == "True"
    await world.reconciler.wait()
    assert (
        world.of_workqueue("scale_down_victims_total", state="idle"),
        world.of_workqueue("scale_down_victims_total", state="busy"),
    ) == (4, 0)


async def test_the_last_workers_go_once_their_tasks_are_done(world: World) -> None:
    tracked = world.add()
    await world.after(1, tracked, Counts(30, 0))
    busy = sorted(world.cluster.pods)[:2]
    world.cluster.tasks.update(dict.fromkeys(busy, 1))
    await world.after(70, tracked, Counts(0, 6))
    world.cluster.tasks.update(dict.fromkeys(busy, 0))
    await world.after(2, tracked, Counts(0, 2))
    assert world.replicas == 0
    await world.reconciler.wait()


async def test_a_worker_that_does_not_answer_is_kept(world: World) -> None:
    tracked = world.add()
    await world.after(1, tracked, Counts(10, 0))
    world.cluster.tasks.clear()
    await world.after(300, tracked, Counts(0, 2))
    assert world.replicas == 2


async def test_a_size_raised_by_hand_stays_for_its_time(world: World) -> None:
    tracked = world.add()
    await world.after(70, tracked, Counts(0, 0))
    world.store.see_target(world.cluster._change(DEPLOYMENT, 4))
    await world.after(MANUAL_SECONDS - 5, tracked, Counts(0, 4))
    assert world.replicas == 4
    assert world.status()["lastDecision"]["reason"] == "ScaledManually"
    world.cluster._follow(world.cluster.targets[DEPLOYMENT])
    await world.after(70, tracked, Counts(0, 4))
    assert world.replicas == 0
    await world.reconciler.wait()


async def test_dry_run_decides_and_writes_only_the_status(world: World) -> None:
    tracked = world.add(mode="DryRun")
    await world.after(5, tracked, Counts(30, 0))
    assert world.replicas == 0
    assert world.writes("scale") == []
    assert world.status()["desiredReplicas"] == 6
    condition = world.condition("ScalingActive")
    assert (condition["status"], condition["reason"]) == ("False", "DryRun")
    assert world.condition("Ready")["status"] == "True"


async def test_a_dry_run_shrink_asks_the_workers_and_marks_none(world: World) -> None:
    world.store.see_target(world.cluster.add_deployment(DEPLOYMENT, 4))
    tracked = world.add(mode="DryRun")
    await world.after(70, tracked, Counts(0, 4))
    assert world.status()["desiredReplicas"] == 0
    assert (world.replicas, world.writes("mark"), world.writes("scale")) == (4, [], [])


async def test_a_missing_deployment_is_a_condition_that_names_the_field(world: World) -> None:
    tracked = world.add(scaleTargetRef={"name": "nobody"})
    await world.after(1, tracked, Counts(30, 0))
    condition = world.condition("TargetFound")
    assert condition["status"] == "False"
    assert condition["message"] == "spec.scaleTargetRef.name: there is no Deployment nobody in team; create it"


async def test_of_two_on_one_deployment_the_younger_stands_back(world: World) -> None:
    older = world.add()
    younger = world.add(body("late", created="2026-06-01T00:00:00Z"))
    await world.after(1, younger, Counts(500, 0))
    await world.after(1, older, Counts(30, 0))
    assert world.replicas == 6
    assert world.condition("ScalingActive", Key("team", "late"))["reason"] == "TargetConflict"
    assert world.condition("Ready")["status"] == "True"


async def test_beside_a_horizontal_pod_autoscaler_it_stands_back_until_that_is_gone(world: World) -> None:
    world.cluster.autoscalers[DEPLOYMENT] = "cpu"
    tracked = world.add()
    await world.after(10, tracked, Counts(30, 0))
    assert world.writes("scale") == []
    condition = world.condition("ScalingActive")
    assert condition["reason"] == "TargetConflict"
    assert "HorizontalPodAutoscaler cpu" in condition["message"]
    del world.cluster.autoscalers[DEPLOYMENT]
    await world.after(60, tracked, Counts(30, 0))
    assert world.replicas == 6


async def test_a_horizontal_pod_autoscaler_that_comes_later_is_found_within_a_minute(world: World) -> None:
    tracked = world.add()
    await world.after(1, tracked, Counts(30, 0))
    world.cluster.autoscalers[DEPLOYMENT] = "cpu"
    await world.after(60, tracked, Counts(30, 0))
    assert world.condition("ScalingActive")["reason"] == "TargetConflict"
    await world.after(5, tracked, Counts(300, 0))
    assert world.replicas == 6


async def test_the_time_from_a_reading_to_its_scale_is_told_and_a_fallback_has_none(world: World) -> None:
    tracked = world.add(scaling={"fallback": {"afterSeconds": 10, "replicas": 9}})
    asked_at = world.clock.now - 3.0
    await world.one_pass(tracked, Counts(30, 0, asked_at=asked_at))
    took = world.clock.now - asked_at
    await world.after(20, tracked, Unknown("Unavailable", "away"))
    assert world.replicas == 9
    name = "workqueue_operator_reading_to_scale_seconds"
    assert world.registry.get_sample_value(f"{name}_count") == 1
    assert world.registry.get_sample_value(f"{name}_sum") == pytest.approx(took)


async def test_in_dry_run_another_autoscaler_is_compared_not_fought(world: World) -> None:
    world.cluster.autoscalers[DEPLOYMENT] = "cpu"
    tracked = world.add(mode="DryRun")
    await world.after(5, tracked, Counts(30, 0))
    assert world.status()["desiredReplicas"] == 6


async def test_a_spec_that_cannot_be_used_is_a_condition_that_names_the_field(world: World) -> None:
    tracked = world.add(scaling={"minReplicas": 5, "maxReplicas": 2})
    await world.after(1, tracked, Counts(30, 0))
    assert world.replicas == 0
    assert "spec.scaling.minReplicas is 5" in world.condition("Ready")["message"]


async def test_a_refused_write_is_tried_again(world: World) -> None:
    tracked = world.add()
    await world.after(1, tracked, Counts(0, 0))
    world.cluster.failures.append(ClusterUnavailable("429 too many requests"))
    await world.after(3, tracked, Counts(30, 0))
    assert world.replicas == 6
    assert world.count("cluster_errors_total", kind="unavailable") == 1


async def test_a_deployment_that_was_deleted_and_made_again_is_found(world: World) -> None:
    tracked = world.add()
    await world.after(1, tracked, Counts(0, 0))
    del world.cluster.targets[DEPLOYMENT]
    await world.after(40, tracked, Counts(30, 0))
    assert world.condition("TargetFound")["status"] == "False"
    world.cluster.add_deployment(DEPLOYMENT, 0)
    await world.after(40, tracked, Counts(30, 0))
    assert world.replicas == 6


async def test_a_deployment_that_was_made_again_at_another_size_was_not_scaled_by_hand(world: World) -> None:
    tracked = world.add()
    await world.after(70, tracked, Counts(0, 0))
    world.store.forget_target(DEPLOYMENT)
    world.store.see_target(world.cluster.add_deployment(DEPLOYMENT, 3))
    await world.after(5, tracked, Counts(0, 3))
    assert (world.replicas, world.status()["lastDecision"]["reason"]) == (0, "Steady")


async def test_a_scale_of_ours_whose_answer_is_lost_is_nobody_elses(world: World) -> None:
    """A size given by hand would hold the new tasks up for 300 s."""
    tracked = world.add()
    await world.after(61, tracked, Counts(0, 0))
    await world.after(1, tracked, Counts(30, 0))
    world.cluster.lost_answers = 1
    await world.after(61, tracked, Counts(0, 6))
    assert world.replicas == 0
    await world.after(40, tracked, Counts(500, 0))
    assert world.replicas == 50


async def test_a_scale_of_ours_that_is_carried_out_after_all_is_nobody_elses(world: World) -> None:
    """The Deployment was read again meanwhile, and was as before."""
    tracked = world.add()
    await world.after(65, tracked, Counts(0, 0))
    world.cluster.failures.append(ClusterUnavailable("no answer in time"))
    await world.one_pass(tracked, Counts(30, 0))
    assert world.count("cluster_errors_total", kind="unavailable") == 1
    await world.after(2, tracked, Counts(0, 0))
    world.store.see_target(world.cluster._change(DEPLOYMENT, 6))
    await world.after(40, tracked, Counts(0, 6))
    assert world.status()["lastDecision"]["reason"] == "Stabilized"


async def test_a_dry_run_shrink_is_told_once(world: World) -> None:
    world.store.see_target(world.cluster.add_deployment(DEPLOYMENT, 4))
    tracked = world.add(mode="DryRun")
    await world.after(61, tracked, Counts(0, 4))
    assert [one.reason for one in world.cluster.events] == ["BacklogDrained"]
    world.cluster.events.clear()
    world.cluster.writes.clear()
    await world.after(20, tracked, Counts(0, 4))
    assert (world.cluster.events, world.cluster.writes) == ([], [])


async def aborted_shrink(world: World, tracked: Tracked) -> set[str]:
    """Six workers, one wanted, and those that were to go have a task by the second look; answers who they are."""
    await world.after(1, tracked, Counts(30, 0))
    to_go = set(sorted(world.cluster.pods)[1:])
    await world.after(59, tracked, Counts(5, 6))
    world.cluster.next_tasks = dict.fromkeys(to_go, 1)
    while world.cluster.next_tasks:
        await world.one_pass(tracked, Counts(5, 6))
    return to_go


async def test_a_shrink_that_is_given_up_says_that_workers_are_busy(world: World) -> None:
    tracked = world.add()
    await aborted_shrink(world, tracked)
    assert (world.replicas, world.writes("scale")) == (6, [6])
    last = world.status()["lastDecision"]
    assert (last["reason"], last["replicas"]) == ("WorkersBusy", 6)
    assert [one.reason for one in world.cluster.events] == ["Backlog"]


async def test_a_shrink_that_is_given_up_leaves_no_mark_on_workers_at_work(world: World) -> None:
    tracked = world.add()
    await aborted_shrink(world, tracked)
    assert world.writes("mark")
    assert world.marked() == set()


async def test_marks_go_when_no_shrink_is_due_any_more(world: World) -> None:
    tracked = world.add()
    await aborted_shrink(world, tracked)
    await leave_marks(world, tracked)
    await world.after(5, tracked, Counts(30, 6))
    assert world.marked() == set()
    world.cluster.writes.clear()
    lists = world.cluster.pod_lists
    await world.after(100, tracked, Counts(30, 6))
    assert (world.cluster.writes, world.cluster.pod_lists) == ([], lists)


@pytest.mark.parametrize("mode", ["Paused", "DryRun"])
async def test_marks_go_when_the_mode_ends_the_shrinking(world: World, mode: str) -> None:
    tracked = world.add()
    await aborted_shrink(world, tracked)
    await leave_marks(world, tracked)
    world.change(tracked, mode=mode)
    await world.after(5, tracked, Counts(5, 6))
    assert world.marked() == set()
    assert world.replicas == 6


async def test_marks_that_cannot_be_taken_away_stop_nothing_and_are_tried_again_now_and_then(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    tracked = world.add()
    await aborted_shrink(world, tracked)
    await leave_marks(world, tracked)
    world.cluster.mark_trouble = ClusterUnavailable("429 too many requests")
    await world.after(12, tracked, Counts(30, 6))
    assert len(world.marked()) == 4
    assert world.status()["lastDecision"]["reason"] == "Steady"
    assert caplog.text.count("cannot be taken away") == 3
    world.cluster.mark_trouble = None
    await world.after(5, tracked, Counts(30, 6))
    assert world.marked() == set()


async def leave_marks(world: World, tracked: Tracked) -> None:
    """Have another shrink given up, by one worker that gets a task, so that the idle ones stay marked."""
    world.cluster.tasks.update(dict.fromkeys(world.cluster.pods, 0))
    world.cluster.next_tasks = {max(world.cluster.pods): 1}
    while world.cluster.next_tasks:
        await world.one_pass(tracked, Counts(5, 6))
    assert (len(world.marked()), world.replicas) == (4, 6)


async def test_marks_stay_until_the_replicaset_has_acted_on_them(world: World) -> None:
    tracked = await slow_shrink(world, silent=0)
    await world.after(5, tracked, Counts(0, 10))
    assert len(world.marked()) == 6
    await world.until_counted()
    await world.after(1, tracked, Counts(0, 10))
    assert world.marked() == set()


async def test_answers_stand_only_for_the_size_that_they_were_given_at(world: World) -> None:
    world.store.see_target(world.cluster.add_deployment(DEPLOYMENT, 4))
    tracked = world.add(mode="DryRun")
    await world.after(60.6, tracked, Counts(0, 4))  # just asked
    assert "4 -> 0" in world.status()["lastDecision"]["message"]
    world.cluster._follow(world.cluster._change(DEPLOYMENT, 8))
    world.store.see_target(world.cluster.targets[DEPLOYMENT])
    await world.one_pass(tracked, Counts(0, 8))
    assert tracked.memory.decision is not None
    assert "8 -> 0" in tracked.memory.decision.message


async def test_a_refused_scale_is_not_ours_when_a_person_gives_that_size(world: World) -> None:
    tracked = world.add()
    await world.after(65, tracked, Counts(0, 0))
    world.cluster._change(DEPLOYMENT, 6)  # before us
    await world.after(40, tracked, Counts(30, 0))
    assert world.count("cluster_errors_total", kind="conflict") == 1
    await world.after(70, tracked, Counts(0, 6))
    assert (world.replicas, world.status()["lastDecision"]["reason"]) == (6, "ScaledManually")


async def test_marks_of_those_who_went_are_forgotten(world: World) -> None:
    tracked = world.add()
    await world.after(1, tracked, Counts(30, 0))
    await world.after(65, tracked, Counts(5, 6))
    assert world.replicas == 1
    await world.reconciler.wait()
    await world.after(5, tracked, Counts(5, 1))
    lists = world.cluster.pod_lists
    await world.after(100, tracked, Counts(5, 1))
    assert world.cluster.pod_lists == lists


async def test_a_task_that_comes_while_the_marks_settle_stops_the_shrink(world: World) -> None:
    """The workers are asked again after that time, so that their answers are not older for it."""

    class Settling(ManualClock):
        async def sleep(self, seconds: float) -> None:
            if world.marked():
                world.cluster.tasks.update(dict.fromkeys(world.marked(), 1))

    clock = Settling()
    world = World(clock=clock, period=world.period)
    world.cluster.add_deployment(DEPLOYMENT, 0)
    tracked = world.add()
    await world.after(1, tracked, Counts(30, 0))
    await world.after(65, tracked, Counts(5, 6))
    assert world.writes("mark")
    assert world.replicas == 6


async def test_a_cost_that_a_user_gave_is_given_back(world: World) -> None:
    tracked = world.add()
    await world.after(1, tracked, Counts(30, 0))
    own = max(world.cluster.pods)
    await world.cluster.set_deletion_cost("team", own, 50)
    await world.after(59, tracked, Counts(5, 6))
    world.cluster.next_tasks = dict.fromkeys(world.cluster.pods, 1)
    await world.after(3, tracked, Counts(5, 6))
    assert own in world.writes("unmark") + world.writes("mark")[1:]
    assert {pod.name: pod.deletion_cost for pod in world.cluster.pods.values() if pod.deletion_cost} == {own: 50}


async def test_a_worker_that_its_user_made_cheap_is_not_taken_at_work(world: World) -> None:
    """It would go before all whom we mark."""
    tracked = world.add()
    await world.after(1, tracked, Counts(30, 0))
    cheap = max(world.cluster.pods)
    await world.cluster.set_deletion_cost("team", cheap, -5000)
    world.cluster.tasks[cheap] = 1
    await world.after(70, tracked, Counts(5, 6))
    assert world.replicas == 6
    assert world.status()["lastDecision"]["reason"] == "WorkersBusy"


async def test_a_worker_that_gets_a_task_before_the_step_to_none_stops_it(world: World) -> None:
    tracked = world.add()
    await world.after(1, tracked, Counts(30, 0))
    await world.after(59, tracked, Counts(0, 6))
    busy = min(world.cluster.pods)
    world.cluster.next_tasks = {busy: 1}
    while world.cluster.next_tasks:
        await world.one_pass(tracked, Counts(0, 6))
    assert (world.replicas, world.status()["lastDecision"]["reason"]) == (6, "WorkersBusy")
    await world.after(5, tracked, Counts(0, 6))
    assert set(world.cluster.pods) == {busy}


async def test_a_pod_that_vanishes_as_it_is_marked_does_not_end_the_pass(world: World) -> None:
    tracked = world.add()
    await world.after(1, tracked, Counts(30, 0))
    world.cluster.vanishing = {max(world.cluster.pods)}
    await world.after(62, tracked, Counts(5, 6))
    assert not world.cluster.vanishing
    assert world.replicas == 1
    assert world.count("cluster_errors_total", kind="not_found") == 0


async def test_evicted_pods_are_not_awaited_among_those_that_go(world: World) -> None:
    tracked = world.add()
    await world.after(1, tracked, Counts(30, 0))
    for number in range(3):
        world.cluster._make_pod(DEPLOYMENT)
        name = max(world.cluster.pods)
        evicted = replace(world.cluster.pods[name], running=False, ready=False, finished=True, created=float(-number))
        world.cluster.pods[name] = evicted
    await world.after(62, tracked, Counts(10, 6))
    assert world.replicas == 2
    await world.reconciler.wait()  # before the time to watch is over
    assert world.victims() == {"idle": 4, "busy": 0, "unknown": 0}


async def slow_shrink(world: World, *, silent: int) -> Tracked:
    """Ten workers, four of them busy, `silent` give no answer; shrunk as far as that goes, which nobody carries out."""
    world.store.see_target(world.cluster.add_deployment(DEPLOYMENT, 10))
    world.cluster.replicasets_lag = True
    names = sorted(world.cluster.pods, key=lambda name: world.cluster.pods[name].created)
    world.cluster.tasks.update(dict.fromkeys(names[:4], 1))
    for name in names[4 : 4 + silent]:
        del world.cluster.tasks[name]
    tracked = world.add(scaling={"minReplicas": 4, "scaleDown": {"stabilizationWindowSeconds": 0}})
    while world.replicas == 10:
        await world.one_pass(tracked, Counts(0, 10))
    assert world.replicas == 4 + silent
    return tracked


async def test_a_shrink_in_two_steps_counts_each_worker_once(world: World) -> None:
    """Two give no answer at first; when the second step comes, half of the first is carried out."""
    tracked = await slow_shrink(world, silent=2)
    world.cluster.carry_out(DEPLOYMENT, at_most=2)
    await world.one_pass(tracked, Counts(0, 10))
    silent = [name for name in world.cluster.pods if name not in world.cluster.tasks]
    world.cluster.tasks.update(dict.fromkeys(silent, 0))
    await world.after(3, tracked, Counts(0, 10))
    assert world.replicas == 4
    world.cluster.carry_out(DEPLOYMENT)
    await world.until_counted()
    assert world.victims() == {"idle": 6, "busy": 0, "unknown": 0}


async def test_a_shrink_that_growth_overtakes_counts_only_those_that_went(world: World) -> None:
    tracked = await slow_shrink(world, silent=1)
    world.change(tracked, scaling={"minReplicas": 10, "scaleDown": {"stabilizationWindowSeconds": 0}})
    await world.after(1, tracked, Counts(0, 10))
    assert world.replicas == 10
    world.cluster.carry_out(DEPLOYMENT)
    await world.reconciler.wait()
    assert world.victims() == {"idle": 0, "busy": 0, "unknown": 0}
    world.change(tracked, scaling={"minReplicas": 9, "scaleDown": {"stabilizationWindowSeconds": 0}})
    await world.after(3, tracked, Counts(0, 10))
    world.cluster.carry_out(DEPLOYMENT)
    await world.until_counted()
    assert world.victims() == {"idle": 1, "busy": 0, "unknown": 0}


async def test_a_worker_without_an_answer_is_never_counted_as_busy(world: World) -> None:
    """It does not answer in time, for want of processor time, and the ReplicaSet takes it all the same."""
    await slow_shrink(world, silent=1)
    (silent,) = world.cluster.pods.keys() - world.cluster.tasks.keys()
    world.cluster.pods[silent] = replace(world.cluster.pods[silent], deletion_cost=-9999)
    world.cluster.carry_out(DEPLOYMENT)
    del world.cluster.pods[silent]
    await world.until_counted()
    assert world.victims() == {"idle": 4, "busy": 0, "unknown": 1}


async def test_the_wrong_pod_is_logged_with_what_it_did(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The ReplicaSet did not have the marks yet: it takes a worker at work."""
    await slow_shrink(world, silent=0)
    busy = min(world.cluster.pods, key=lambda name: world.cluster.pods[name].created)
    world.cluster.pods[busy] = replace(world.cluster.pods[busy], deletion_cost=-9999)
    world.cluster.carry_out(DEPLOYMENT)
    await world.until_counted()
    assert world.victims() == {"idle": 5, "busy": 1, "unknown": 0}
    assert f"{busy} went (busy) though another was meant to" in caplog.text


async def test_pods_of_a_deployment_that_was_deleted_are_nobodys_shrink(world: World) -> None:
    tracked = await slow_shrink(world, silent=0)
    for name in list(world.cluster.pods):
        del world.cluster.pods[name]
    world.store.forget_target(DEPLOYMENT)
    world.store.see_target(world.cluster.add_deployment(DEPLOYMENT, 4))
    await world.one_pass(tracked, Counts(0, 4))
    for _ in range(20):  # turns for whoever may still look
        await world.clock.sleep(0)
    await world.until_counted()
    assert world.victims() == {"idle": 0, "busy": 0, "unknown": 0}


async def test_a_shrink_whose_answer_is_lost_is_counted_too(world: World) -> None:
    tracked = world.add()
    await world.after(1, tracked, Counts(30, 0))
    world.cluster.lost_answers = 1
    await world.after(61, tracked, Counts(5, 6))
    assert world.replicas == 1
    await world.until_counted()
    assert world.victims() == {"idle": 5, "busy": 0, "unknown": 0}


async def test_the_clock_of_a_condition_moves_only_when_it_turns(world: World) -> None:
    tracked = world.add()
    await world.after(10, tracked, AWAY)
    first = world.condition("QueueObserved")["lastTransitionTime"]
    await world.after(30, tracked, Unknown("AccessRefused", "the broker refuses the password"))
    condition = world.condition("QueueObserved")
    assert (condition["reason"], condition["lastTransitionTime"]) == ("AccessRefused", first)


def found_out(tracked: Tracked, verdict: Verdict) -> None:
    """As the loop that asks the management API leaves it."""
    assert isinstance(tracked.spec, WorkQueue)
    tracked.policy = PolicyCheck(tracked.spec.queue, tracked.spec.mode, verdict)


APPLIED = Verdict(True, "Applied", "policy workqueue.thumbnails applies")
UNAVAILABLE = Verdict(False, "ManagementApiUnavailable", "no answer")


async def test_a_limit_that_is_set_and_does_not_hold_makes_ready_false(world: World) -> None:
    tracked = world.add(queue={"maxLength": 100})
    found_out(tracked, missing_management_api())
    await world.after(1, tracked, Counts(0, 0))
    policy, ready = world.condition("PolicyApplied"), world.condition("Ready")
    assert (policy["status"], policy["reason"]) == ("False", "ManagementApiMissing")
    assert "key management_uri" in policy["message"]
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", policy["reason"], policy["message"])


async def test_defaults_that_do_not_hold_are_told_and_leave_ready_alone(world: World) -> None:
    tracked = world.add()
    found_out(tracked, missing_management_api())
    await world.after(1, tracked, Counts(0, 0))
    assert world.condition("PolicyApplied")["status"] == "False"
    assert world.condition("Ready")["status"] == "True"
    assert world.cluster.events == []


async def test_limits_in_a_dry_run_leave_ready_alone(world: World) -> None:
    tracked = world.add(mode="DryRun", queue={"maxLength": 100})
    found_out(tracked, Verdict(False, "DryRun", "not in force: max-length=100"))
    await world.after(1, tracked, Counts(0, 0))
    assert (world.condition("Ready")["status"], world.condition("Ready")["reason"]) == ("True", "DryRun")


async def test_a_policy_that_stops_applying_is_an_event_and_so_is_its_return(world: World) -> None:
    tracked = world.add()
    for verdict in (APPLIED, Verdict(False, "OtherPolicy", "policy everything applies instead"), APPLIED):
        found_out(tracked, verdict)
        await world.after(1, tracked, Counts(0, 0))
    assert [(one.type, one.reason) for one in world.cluster.events] == [
        ("Warning", "OtherPolicy"),
        ("Normal", "Applied"),
    ]


async def test_while_the_management_api_is_away_what_was_set_is_not_known_to_be_gone(world: World) -> None:
    tracked = world.add(queue={"maxLength": 100})
    found_out(tracked, UNAVAILABLE)
    await world.after(1, tracked, Counts(0, 0))
    assert world.condition("Ready")["status"] == "False"  # nothing was ever set
    found_out(tracked, APPLIED)
    await world.after(1, tracked, Counts(0, 0))
    found_out(tracked, UNAVAILABLE)
    await world.after(20, tracked, Counts(0, 0))
    policy = world.condition("PolicyApplied")
    assert (policy["status"], policy["reason"]) == ("Unknown", "ManagementApiUnavailable")
    assert world.condition("Ready")["status"] == "True"


async def test_after_a_restart_the_condition_stands_until_somebody_looked(world: World) -> None:
    tracked = world.add(queue={"maxLength": 100})
    found_out(tracked, APPLIED)
    await world.after(1, tracked, Counts(0, 0))
    stored = world.condition("PolicyApplied")
    restarted = World(cluster=world.cluster, clock=world.clock)
    again = restarted.add(world.cluster.workqueues[WORKQUEUE])
    await restarted.after(20, again, Counts(0, 0))
    assert restarted.condition("PolicyApplied") == stored


async def test_a_limit_that_changed_is_not_called_applied_before_somebody_looked(world: World) -> None:
    tracked = world.add(queue={"maxLength": 100})
    found_out(tracked, APPLIED)
    await world.after(1, tracked, Counts(0, 0))
    changed = body(queue={"maxLength": 200})
    changed["metadata"]["generation"] = 2
    world.store.see_workqueue(changed)
    await world.after(1, tracked, Counts(0, 0))
    condition = world.condition("PolicyApplied")
    assert (condition["status"], condition["reason"], condition["observedGeneration"]) == ("Unknown", "Pending", 2)


async def test_limits_hold_also_where_there_is_nothing_to_scale(world: World) -> None:
    tracked = world.add(scaleTargetRef={"name": "nobody"})
    found_out(tracked, APPLIED)
    await world.after(1, tracked, Counts(0, 0))
    assert world.condition("PolicyApplied")["status"] == "True"
