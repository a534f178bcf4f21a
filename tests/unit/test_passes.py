"""Whole passes over a WorkQueue, on the fakes: what is written, when, and what is not."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from fakes import FakeCluster, ManualClock
from prometheus_client import CollectorRegistry
from workqueue_operator.apply import Applier
from workqueue_operator.cluster import ClusterUnavailable
from workqueue_operator.demand import Counts
from workqueue_operator.gather import MANUAL_SECONDS, Gatherer
from workqueue_operator.metrics import Metrics
from workqueue_operator.queue_policy import Verdict, missing_management_api
from workqueue_operator.reconcile import Reconciler
from workqueue_operator.report import Reporter
from workqueue_operator.resource import Key, WorkQueue
from workqueue_operator.scaling import Unknown
from workqueue_operator.store import Checked, Store, Tracked

WORKQUEUE = Key("team", "thumbnails")
DEPLOYMENT = Key("team", "thumbnails-worker")
AWAY = Unknown("Unavailable", "connection refused")


def body(name: str = WORKQUEUE.name, created: str = "2026-01-01T00:00:00Z", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "team",
            "name": name,
            "uid": f"uid-{name}",
            "generation": 1,
            "creationTimestamp": created,
        },
        "spec": {
            "broker": {"secretName": "rabbitmq"},
            "scaleTargetRef": {"name": DEPLOYMENT.name},
            "scaling": {"scaleDown": {"stabilizationWindowSeconds": 60}},
            **spec,
        },
    }


@dataclass
class World:
    """An operator on fakes, with a hand on its clock."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    clock: ManualClock = field(default_factory=ManualClock)
    store: Store = field(default_factory=Store)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        metrics = Metrics(self.registry)
        self.applier = Applier(self.store, self.cluster, metrics, self.clock)
        self.reconciler = Reconciler(
            Gatherer(self.store, self.cluster, self.clock),
            self.applier,
            Reporter(self.cluster, metrics, self.clock),
            metrics,
            self.clock,
        )

    def add(self, **spec: Any) -> Tracked:
        return self.add_body(body(**spec))

    def add_body(self, made: dict[str, Any]) -> Tracked:
        self.cluster.workqueues[Key("team", made["metadata"]["name"])] = made
        self.store.see_workqueue(made)
        return next(tracked for tracked in self.store if tracked.key.name == made["metadata"]["name"])

    async def after(self, seconds: float, tracked: Tracked, reading: Counts | Unknown) -> None:
        """Let time pass with this reading, a pass every second."""
        for _ in range(int(seconds)):
            self.clock.advance(1.0)
            await self.reconciler.reconcile(tracked, reading)

    @property
    def replicas(self) -> int:
        return self.cluster.targets[DEPLOYMENT].replicas

    def status(self, key: Key = WORKQUEUE) -> dict[str, Any]:
        return dict(self.cluster.workqueues[key]["status"])

    def condition(self, name: str, key: Key = WORKQUEUE) -> dict[str, Any]:
        return next(one for one in self.status(key)["conditions"] if one["type"] == name)

    def writes(self, verb: str) -> list[Any]:
        return [value for written, value in self.cluster.writes if written == verb]

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"workqueue_operator_{name}", labels) or 0.0


@pytest.fixture
def world() -> World:
    made = World()
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


async def test_the_status_tells_the_decision_in_numbers(world: World) -> None:
    tracked = world.add()
    await world.after(1, tracked, Counts(30, 0))
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
    assert (world.status()["messagesReady"], world.status()["consumers"]) == (None, None)


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
    await world.applier.wait()


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
    await world.applier.wait()
    assert (
        world.count("scale_down_victims_total", state="idle"),
        world.count("scale_down_victims_total", state="busy"),
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
    await world.applier.wait()


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
    await world.applier.wait()


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
    younger = world.add_body(body("late", created="2026-06-01T00:00:00Z"))
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
    tracked.policy = Checked(tracked.spec.queue, tracked.spec.mode, verdict)


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
    again = restarted.add_body(world.cluster.workqueues[WORKQUEUE])
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
