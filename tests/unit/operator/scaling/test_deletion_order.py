"""Which workers may go."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from workqueue_operator.scaling.deletion_order import (
    GOING_COST,
    Departure,
    WorkerAnswer,
    choose,
    deletion_order,
    removable,
    removable_once_marked,
)

from tests.support.fakes import WORKING


def pod(name: str, tasks: int | None, **more: Any) -> WorkerAnswer:
    return WorkerAnswer(replace(WORKING, name=name, uid=f"uid-{name}", **more), tasks)


def carried_out(asked: list[WorkerAnswer], departure: Departure) -> list[WorkerAnswer]:
    """The pods with the marks that the departure asks for."""
    marks = {one.uid: GOING_COST for one in departure.mark} | {one.uid: 0 for one in departure.unmark}
    return [
        replace(one, pod=replace(one.pod, deletion_cost=marks.get(one.pod.uid, one.pod.deletion_cost))) for one in asked
    ]


def test_idle_workers_can_go_and_busy_ones_cannot() -> None:
    assert removable_once_marked([pod("a", 0), pod("b", 1), pod("c", 0)], replicas=3) == 2


def test_a_worker_that_does_not_answer_is_busy() -> None:
    assert removable_once_marked([pod("a", None), pod("b", None)], replicas=2) == 0


def test_a_pod_whose_container_does_not_run_has_no_task() -> None:
    assert (
        removable_once_marked([pod("a", None, running=False, ready=False, pending=True), pod("b", 1)], replicas=2) == 1
    )


def test_pods_that_are_not_made_yet_go_first() -> None:
    assert removable_once_marked([pod("a", 1), pod("b", 1)], replicas=10) == 8


def test_pods_that_are_still_too_many_leave_nothing_to_remove() -> None:
    """An earlier scale-down from 4 to 2 is not carried out yet; its idle pods are spoken for."""
    assert removable_once_marked([pod("a", 0), pod("b", 0), pod("c", 1), pod("d", 1)], replicas=2) == 0


def test_terminating_pods_do_not_count() -> None:
    assert removable_once_marked([pod("a", 0, terminating=True), pod("b", 1)], replicas=1) == 0


def test_a_busy_pod_that_is_not_ready_blocks_the_scale_down() -> None:
    """A ReplicaSet deletes it before any Ready pod, whatever the costs are."""
    assert removable_once_marked([pod("a", 1, ready=False), pod("b", 0), pod("c", 0)], replicas=3) == 0


def test_evicted_and_failed_pods_are_no_workers() -> None:
    """A ReplicaSet does not count them: were they among those to go, the step would take one worker less."""
    gone = [pod(name, None, finished=True, running=False, ready=False) for name in "xyz"]
    asked = [*gone, pod("a", 0), pod("b", 0), pod("c", 1)]
    assert removable_once_marked(asked, replicas=3) == 2
    assert {one.name for one in choose(asked, wanted=1).going} == {"a", "b"}


def test_a_busy_pod_that_its_user_made_cheap_blocks_the_scale_down() -> None:
    assert removable_once_marked([pod("a", 1, deletion_cost=-5000), pod("b", 0), pod("c", 0)], replicas=3) == 0


def test_an_idle_pod_that_its_user_made_cheap_goes_first_and_keeps_its_cost() -> None:
    asked = [pod("a", 0), pod("b", 0, deletion_cost=-5000), pod("c", 1)]
    departure = choose(asked, wanted=2)
    assert ([one.name for one in departure.going], departure.mark) == (["b"], ())
    assert removable(asked, replicas=3) == 1


def test_of_two_that_their_user_made_cheap_the_cheaper_goes_first() -> None:
    assert removable_once_marked([pod("a", 0, deletion_cost=-5000), pod("b", 1, deletion_cost=-3000)], replicas=2) == 1


def test_without_marks_an_idle_worker_is_not_safely_first() -> None:
    assert removable([pod("a", 0), pod("b", 1)], replicas=2) == 0
    assert removable([pod("a", 0, deletion_cost=GOING_COST), pod("b", 1)], replicas=2) == 1


def test_a_marked_worker_that_got_a_task_stops_the_scale_down() -> None:
    """Among pods of one cost the ReplicaSet's choice is not known."""
    marked = {"deletion_cost": GOING_COST}
    assert removable([pod("a", 0, **marked), pod("b", 1, **marked), pod("c", 0)], replicas=3) == 0


def test_those_marked_before_are_chosen_again() -> None:
    """Another choice would cost two writes, and could be too late for the ReplicaSet."""
    asked = [pod("old", 0, created=1.0, deletion_cost=GOING_COST), pod("young", 0, created=2.0)]
    departure = choose(asked, wanted=1)
    assert ([one.name for one in departure.going], departure.mark, departure.unmark) == (["old"], (), ())


def test_where_all_go_no_pod_is_marked() -> None:
    departure = choose([pod("a", 0), pod("b", 0)], wanted=0)
    assert (len(departure.going), departure.mark, departure.unmark) == (2, (), ())


def test_the_idle_ones_are_chosen() -> None:
    departure = choose([pod("a", 1), pod("b", 0), pod("c", 0), pod("d", 1)], wanted=2)
    assert {one.name for one in departure.going} == {"b", "c"}


def test_the_youngest_idle_ones_go_first() -> None:
    departure = choose([pod("old", 0, created=1.0), pod("young", 0, created=2.0)], wanted=1)
    assert [one.name for one in departure.going] == ["young"]


def test_a_mark_of_an_earlier_scale_down_that_did_not_come_is_taken_away() -> None:
    departure = choose([pod("a", 0), pod("b", 1, deletion_cost=GOING_COST)], wanted=1)
    assert [one.name for one in departure.unmark] == ["b"]


asked_pods = st.lists(
    st.builds(
        lambda name, tasks, pending, ready, terminating, finished, cost: pod(
            f"w{name}",
            tasks,
            pending=pending and not finished,
            running=not pending and not finished,
            ready=ready and not pending and not finished,
            terminating=terminating,
            finished=finished,
            deletion_cost=cost,
        ),
        st.integers(0, 10**6),
        st.none() | st.integers(0, 2),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.sampled_from([0, 0, GOING_COST, GOING_COST - 1, 7]),
    ),
    max_size=30,
    unique_by=lambda one: one.pod.name,
)


@given(asked_pods, st.integers(0, 40))
def test_the_first_to_be_deleted_are_all_idle(asked: list[WorkerAnswer], replicas: int) -> None:
    """Whatever the pods are: the pods that a ReplicaSet deletes for an allowed step are idle ones."""
    allowed = removable(asked, replicas)
    staying = [one for one in asked if one.pod.active]
    deleted = max(0, len(staying) - (replicas - allowed))
    if allowed:
        assert all(one.may_go for one in deletion_order(staying)[:deleted])
    assert 0 <= allowed <= replicas


@given(asked_pods, st.integers(0, 40), st.data())
def test_what_is_planned_holds_once_it_is_marked(asked: list[WorkerAnswer], replicas: int, data: st.DataObject) -> None:
    """The marks that are written for a step make just that step safe, and those that go are those meant to."""
    planned = removable_once_marked(asked, replicas)
    wanted = replicas - data.draw(st.integers(0, planned))
    departure = choose(asked, wanted)
    marked = carried_out(asked, departure)
    if 0 < wanted < replicas:
        assert removable(marked, replicas) >= replicas - wanted
        first = deletion_order(marked)[: len(departure.going)]
        assert {one.pod.uid for one in first} == {one.uid for one in departure.going}
