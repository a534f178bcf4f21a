"""What is compared: each scaler's run over each trace in numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from benchmarks.simulation.traces import Trace
from benchmarks.simulation.world import Point, World


@dataclass(frozen=True)
class Contender:
    """A scaler with its name in the report."""

    name: str
    #: Puts the scaler into a world.
    enter: Callable[[World], object]


@dataclass(frozen=True)
class Run:
    """One scaler on one trace."""

    trace: Trace
    contender: str
    #: Seconds from publish to start.
    wait_mean: float
    wait_p95: float
    wait_p99: float
    backlog_mean: float
    backlog_max: int
    replicas_max: int
    #: Seconds that pods existed, and that as a multiple of the work in the tasks.
    replica_seconds: float
    replicas_per_work: float
    changes: int
    workers_started: int
    busy_stopped: int
    curve: tuple[Point, ...]


def run(trace: Trace, contender: Contender) -> Run:
    """Simulate and measure."""
    world = World(trace)
    contender.enter(world)
    record = world.run()
    waits = sorted(record.waits)
    return Run(
        trace=trace,
        contender=contender.name,
        wait_mean=fmean(waits),
        wait_p95=_quantile(waits, 0.95),
        wait_p99=_quantile(waits, 0.99),
        backlog_mean=fmean(point.messages_ready for point in record.curve),
        backlog_max=max(point.messages_ready for point in record.curve),
        replicas_max=max(point.replicas for point in record.curve),
        replica_seconds=record.replica_seconds,
        replicas_per_work=record.replica_seconds / trace.work_seconds,
        changes=record.changes,
        workers_started=record.workers_started,
        busy_stopped=record.busy_stopped,
        curve=tuple(record.curve),
    )


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
