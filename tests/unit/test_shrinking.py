"""Which workers may go."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from workqueue_operator.cluster import Pod
from workqueue_operator.shrinking import GOING_COST, Asked, choose, deletion_order, removable

WORKING = Pod("w", "10.0.0.1", False, True, True, False, created=100.0, deletion_cost=0, restarts=0)


def pod(name: str, tasks: int | None, **more: object) -> Asked:
    return Asked(replace(WORKING, name=name, **more), tasks)  # type: ignore[arg-type]


def test_idle_workers_can_go_and_busy_ones_cannot() -> None:
    assert removable([pod("a", 0), pod("b", 1), pod("c", 0)], replicas=3) == 2


def test_a_worker_that_does_not_answer_is_busy() -> None:
    assert removable([pod("a", None), pod("b", None)], replicas=2) == 0


def test_a_pod_whose_container_does_not_run_has_no_task() -> None:
    assert removable([pod("a", None, running=False, ready=False, pending=True), pod("b", 1)], replicas=2) == 1


def test_pods_that_are_not_made_yet_go_first() -> None:
    assert removable([pod("a", 1), pod("b", 1)], replicas=10) == 8


def test_pods_that_are_still_too_many_leave_nothing_to_remove() -> None:
    """An earlier shrink from 4 to 2 is not carried out yet; its idle pods are spoken for."""
    assert removable([pod("a", 0), pod("b", 0), pod("c", 1), pod("d", 1)], replicas=2) == 0


def test_terminating_pods_do_not_count() -> None:
    assert removable([pod("a", 0, terminating=True), pod("b", 1)], replicas=1) == 0


def test_a_busy_pod_that_is_not_ready_blocks_the_shrink() -> None:
    """A ReplicaSet deletes it before any Ready pod, whatever the costs are."""
    assert removable([pod("a", 1, ready=False), pod("b", 0), pod("c", 0)], replicas=3) == 0


def test_the_idle_ones_are_chosen() -> None:
    departure = choose([pod("a", 1), pod("b", 0), pod("c", 0), pod("d", 1)], wanted=2)
    assert {one.name for one in departure.going} == {"b", "c"}


def test_the_youngest_idle_ones_go_first() -> None:
    departure = choose([pod("old", 0, created=1.0), pod("young", 0, created=2.0)], wanted=1)
    assert [one.name for one in departure.going] == ["young"]


def test_a_mark_of_an_earlier_shrink_that_did_not_come_is_taken_away() -> None:
    departure = choose([pod("a", 0), pod("b", 1, deletion_cost=GOING_COST)], wanted=1)
    assert [one.name for one in departure.unmark] == ["b"]


asked_pods = st.lists(
    st.builds(
        lambda name, tasks, pending, ready, terminating: pod(
            f"w{name}",
            tasks,
            pending=pending,
            running=not pending,
            ready=ready and not pending,
            terminating=terminating,
        ),
        st.integers(0, 10**6),
        st.none() | st.integers(0, 2),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    max_size=30,
    unique_by=lambda one: one.pod.name,
)


@given(asked_pods, st.integers(0, 40))
def test_the_first_to_be_deleted_are_all_idle(asked: list[Asked], replicas: int) -> None:
    """Whatever the pods are: the pods that a ReplicaSet deletes for an allowed step are idle ones."""
    allowed = removable(asked, replicas)
    staying = [one for one in asked if not one.pod.terminating]
    deleted = max(0, len(staying) - (replicas - allowed))
    if allowed:
        assert all(one.is_idle for one in deletion_order(staying)[:deleted])
    assert 0 <= allowed <= replicas
