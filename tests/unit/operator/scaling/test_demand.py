"""What a queue asks for: drainSeconds asks neither for workers without work nor for one more and one less by turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_operator.resource import ScalingPolicy
from workqueue_operator.scaling.demand import Counts, Demand, Rates, demand_of

from benchmarks.simulation.ours import with_drain_seconds, with_messages_per_replica
from benchmarks.simulation.traces import all_traces
from benchmarks.simulation.world import World

POLICY = ScalingPolicy(drain_seconds=60, scale_down_stabilization_seconds=60)
#: Seconds after which the way up is over.
SETTLED = 600.0


def wanted(ready: int, rates: Rates, replicas: int, in_progress: int | None = None) -> int:
    return demand_of(POLICY, Counts(ready, 1, rates, messages_unacknowledged=in_progress), replicas).replicas


@pytest.mark.parametrize("service_seconds", [1.80, 1.88, 1.95, 2.02, 2.10])
def test_the_noise_of_the_rates_moves_no_worker(service_seconds: float) -> None:
    """Eight workers just keep up; the measured service time moves by a few percent from sample to sample."""
    assert wanted(0, Rates(4.0, service_seconds), 8, in_progress=8) == 8


@pytest.mark.parametrize(("replicas", "expected"), [(7, 9), (8, 8), (9, 9), (10, 9)])
def test_within_a_tenth_of_what_is_there_nothing_changes(replicas: int, expected: int) -> None:
    """8.7 workers' work: eight are enough, as what waits adds to it; more than a tenth away the formula rules."""
    assert wanted(0, Rates(4.35, 2.0), replicas, in_progress=8) == expected


def test_no_workers_are_no_reason_to_stay_without() -> None:
    assert wanted(1, Rates(0.0, 0.1), 0, in_progress=0) == 1


def test_long_tasks_get_no_more_workers_than_there_are_tasks() -> None:
    """Ten tasks of ten minutes cannot be done in one, with any number of workers: ten are enough."""
    assert wanted(10, Rates(0.0, 600.0), 0, in_progress=2) == 12


def test_tasks_that_come_before_an_idle_worker_would_go_count_too() -> None:
    """One task in progress and one every 20 s, of two minutes each: three more come within the window."""
    assert wanted(0, Rates(0.05, 120.0), 0, in_progress=1) == 4


def test_the_last_traces_of_a_burst_keep_no_worker() -> None:
    """An average that fades never reaches zero; less than one task in a window is none."""
    assert wanted(0, Rates(0.01, 2.0), 1, in_progress=0) == 0


def test_tasks_in_progress_that_are_not_known_are_no_limit() -> None:
    assert wanted(10, Rates(0.0, 600.0), 0, in_progress=None) == 100


def test_the_sentence_says_what_held_it_back() -> None:
    near = demand_of(POLICY, Counts(0, 8, Rates(4.0, 2.1)), 8)
    assert near == Demand(8, "2.1 s a task x (4 new/s + 0 ready / 60 s) = 8.4, within a tenth of 8")
    few = demand_of(POLICY, Counts(3, 1, Rates(0.0, 600.0), messages_unacknowledged=1), 0)
    text = "600 s a task x (0 new/s + 3 ready / 60 s) = 30, but 4 tasks ready, in progress or coming within 60 s"
    assert few == Demand(4, text)


@given(st.integers(0, 2**40), st.floats(0, 1e308), st.floats(1e-308, 1e308), st.integers(0, 2**31), st.integers(-1, 9))
def test_rates_of_any_size_give_a_number(
    ready: int, arrivals: float, seconds: float, replicas: int, in_progress: int
) -> None:
    assert wanted(ready, Rates(arrivals, seconds), replicas, in_progress) >= 0


def changes_while_keeping_up(drain_seconds: int | None) -> int:
    """How often the size was changed from `SETTLED` to the last task of the trace."""
    trace = next(trace for trace in all_traces() if trace.name == "just keeping up")
    world = World(trace)
    enter = (
        with_drain_seconds(ScalingPolicy(), drain_seconds)
        if drain_seconds
        else with_messages_per_replica(ScalingPolicy())
    )
    enter(world)
    seen: list[int] = []
    for time in (SETTLED, trace.tasks[-1].published):
        world.at(time, lambda: seen.append(world.record.changes))
    world.run()
    return seen[1] - seen[0]


@pytest.mark.parametrize(("drain_seconds", "most"), [(60, 6), (None, 12)])
def test_a_queue_whose_workers_just_keep_up_does_not_flap(drain_seconds: int | None, most: int) -> None:
    """Its 7.8 workers' work is done by 8; what is counted is the noise of the rates, and of what waits."""
    assert changes_while_keeping_up(drain_seconds) <= most
