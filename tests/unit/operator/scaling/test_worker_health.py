"""Whether the workers run, over several looks at their pods."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_operator.cluster.port import Pod, Target
from workqueue_operator.resource import Key
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.scaling.worker_health import (
    CALM_SECONDS,
    RESTARTED,
    SILENT_SECONDS,
    UNCONSUMED_SECONDS,
    Health,
    Signs,
    Silence,
    Unconsumed,
    obstacle,
    unconsumed,
)

from tests.support.fakes import FakeCluster

LOOK_SECONDS = 5.0


def pods(count: int) -> list[Pod]:
    """So many pods that run well."""
    cluster = FakeCluster()
    cluster.add_deployment(Key("team", "worker"), count)
    return list(cluster.pods.values())


def waiting(pod: Pod, restarts: int = 3, word: str = "CrashLoopBackOff") -> Pod:
    return replace(pod, trouble=word, running=False, ready=False, restarts=restarts)


def running(pod: Pod, restarts: int = 3) -> Pod:
    return replace(pod, trouble="", running=True, ready=True, restarts=restarts)


def test_pods_that_run_are_well() -> None:
    assert Health().looked(pods(4), 0).failing is None


def test_half_of_the_pods_are_enough_and_fewer_are_not() -> None:
    one, two, three, four = pods(4)
    assert Health().looked([waiting(one), waiting(two), three, four], 0).failing == "2 of 4 pods fail: CrashLoopBackOff"
    assert Health().looked([waiting(one), two, three, four], 0).failing is None


def test_pods_that_are_terminating_count_for_nothing() -> None:
    one, two = pods(2)
    assert Health().looked([replace(waiting(one), terminating=True), two], 0).failing is None


def test_a_looping_pod_fails_also_while_it_runs() -> None:
    (pod,) = pods(1)
    health = Health().looked([waiting(pod)], 0)
    for look in (5, 20, 40, 59):
        health = health.looked([running(pod)], look)
        assert health.failing == "1 of 1 pods fail: CrashLoopBackOff"


def test_a_restart_that_no_look_saw_is_a_failure() -> None:
    """It was running at both looks, and crashed in between."""
    (pod,) = pods(1)
    health = Health().looked([running(pod, restarts=3)], 0).looked([running(pod, restarts=4)], LOOK_SECONDS)
    assert health.failing == f"1 of 1 pods fail: {RESTARTED}"


def test_one_crash_is_no_loop() -> None:
    (pod,) = pods(1)
    health = Health().looked([running(pod, restarts=0)], 0).looked([running(pod, restarts=1)], LOOK_SECONDS)
    assert health.failing is None


def test_restarts_from_before_the_first_look_are_no_failure() -> None:
    (pod,) = pods(1)
    assert Health().looked([running(pod, restarts=30)], 0).failing is None


def test_without_another_failure_it_is_well_after_the_calm() -> None:
    (pod,) = pods(1)
    health = Health().looked([waiting(pod)], 0)
    assert health.looked([running(pod)], CALM_SECONDS - 1).failing is not None
    assert health.looked([running(pod)], CALM_SECONDS).failing is None


def test_an_ack_after_the_failure_ends_it_but_not_what_fails_now() -> None:
    (pod,) = pods(1)
    health = Health().looked([waiting(pod)], 10)
    assert health.looked([running(pod)], 20, acked_at=15).failing is None
    assert health.looked([running(pod)], 20, acked_at=5).failing is not None
    assert health.looked([waiting(pod)], 20, acked_at=15).failing is not None


def test_pods_that_crash_by_turns_fail_together() -> None:
    """Never half of them at one look, and yet each of them loops."""
    three = pods(3)
    health = Health()
    for look in range(1, 13):
        seen = [running(pod, restarts=2 + (look + number) // 3) for number, pod in enumerate(three)]
        health = health.looked(seen, look * LOOK_SECONDS)
    assert health.failing == f"3 of 3 pods fail: {RESTARTED}"


def test_new_pods_of_a_fixed_template_are_well_at_once() -> None:
    old, new = pods(2)
    health = Health().looked([waiting(old)], 0)
    assert health.looked([replace(waiting(old), terminating=True), new], LOOK_SECONDS).failing is None


@pytest.mark.parametrize(("seconds", "failing"), [(LOOK_SECONDS, True), (CALM_SECONDS, False)])
def test_when_all_have_gone_while_they_failed_the_next_would_fail_too_for_a_while(
    seconds: float, failing: bool
) -> None:
    (pod,) = pods(1)
    assert (Health().looked([waiting(pod)], 0).looked([], seconds).failing is not None) is failing


@given(st.lists(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=4), max_size=8))
def test_whatever_is_seen_a_failure_needs_pods_that_failed(looks: list[list[tuple[bool, int]]]) -> None:
    named, health = pods(4), Health()
    for number, look in enumerate(looks):
        seen = [
            waiting(pod, restarts) if bad else running(pod, restarts)
            for pod, (bad, restarts) in zip(named, look, strict=False)
        ]
        health = health.looked(seen, number * LOOK_SECONDS)
        assert (health.failing is None) or health.failures


@pytest.mark.parametrize("reading", [Unknown("Unavailable", "away"), Counts(0, 0), Counts(5, 1)])
def test_it_ends_with_a_consumer_without_messages_and_without_a_reading(reading: Counts | Unknown) -> None:
    assert unconsumed(Unconsumed(0.0, 5), reading, 2, 100.0) is None
    assert unconsumed(Unconsumed(0.0, 5), Counts(5, 0), 0, 100.0) is None


TARGET = Target(Key("team", "worker"), "uid-1", 4, 4, rolling_out=False, selector="app=worker", resource_version=1)
EVERYTHING = Signs(
    Health(failing="2 of 4 pods fail: OOMKilled"),
    redelivering="6 redeliveries and no ack among them",
    unconsumed=Unconsumed(since=0.0, messages=5),
    silence=Silence(since=0.0, message="4 of 4 workers gave no answer"),
)
LATE = max(UNCONSUMED_SECONDS, SILENT_SECONDS)


def test_of_several_obstacles_the_worst_is_reported_and_only_the_worst_two_stop_growth() -> None:
    """Each row lacks the obstacle of the row before."""
    refused, stuck = replace(TARGET, refused="FailedCreate: quota", stuck="late"), replace(TARGET, stuck="late")
    healthy = replace(EVERYTHING, health=Health(), redelivering=None)
    rows = [
        (refused, EVERYTHING),
        (stuck, EVERYTHING),
        (stuck, replace(EVERYTHING, health=Health())),
        (stuck, healthy),
        (TARGET, healthy),
        (TARGET, replace(healthy, unconsumed=None)),
        (TARGET, Signs(Health())),
    ]
    found = [obstacle(target, signs, LATE) for target, signs in rows]
    assert [one and (one.reason, one.stops_growth) for one in found] == [
        ("PodsRefused", True),
        ("WorkersFailing", True),
        ("WorkersFailing", True),
        ("RolloutStuck", False),
        ("NotConsuming", False),
        ("WorkersSilent", False),
        None,
    ]


def test_messages_left_alone_and_silence_are_no_obstacle_before_their_time() -> None:
    assert obstacle(TARGET, replace(EVERYTHING, health=Health(), redelivering=None), LATE - 1) is None
