"""A queue whose workers just keep up keeps its workers: an hour of work on the simulated queue, always the same."""

import pytest
from workqueue_operator.resource import ScalingPolicy

from benchmarks.simulation.ours import with_drain_seconds, with_messages_per_replica
from benchmarks.simulation.traces import all_traces
from benchmarks.simulation.world import World

#: Seconds after which the way up is over.
SETTLED = 600.0
POLICY = ScalingPolicy()


def changes_while_keeping_up(drain_seconds: int | None) -> int:
    """How often the size was changed from `SETTLED` to the last task of the trace."""
    trace = next(trace for trace in all_traces() if trace.name == "just keeping up")
    world = World(trace)
    enter = with_drain_seconds(POLICY, drain_seconds) if drain_seconds else with_messages_per_replica(POLICY)
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
