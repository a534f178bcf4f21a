"""The work that the scalers are compared on: when each task is published and how long it takes.

Made from fixed seeds, so that every scaler and every run sees the same tasks.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: Seconds; no task takes longer, as the policy's task timeout says.
LONGEST_TASK_SECONDS = 600.0
#: Seconds watched after the last task was published, so that the way back down counts for every scaler.
TAIL_SECONDS = 900.0

Draw = Callable[[float], float]
"""How long a task takes that is published at a time, in seconds."""


@dataclass(frozen=True)
class Task:
    """One message."""

    #: Seconds from the start of the trace.
    published: float
    #: Seconds that one worker needs for it.
    seconds: float


@dataclass(frozen=True)
class Trace:
    """A row of tasks."""

    name: str
    #: One sentence with the numbers that it was made with.
    what: str
    tasks: tuple[Task, ...]

    @property
    def horizon(self) -> float:
        """Seconds after which the watching ends."""
        return self.tasks[-1].published + TAIL_SECONDS

    @property
    def work_seconds(self) -> float:
        """Worker seconds in the tasks: what a scaler that knows the future would pay."""
        return sum(task.seconds for task in self.tasks)


def all_traces() -> tuple[Trace, ...]:
    """Every trace, in the order of the report."""
    return (
        _steady(),
        _just_keeping_up(),
        _burst(),
        _sawtooth(),
        _diurnal(),
        _heavy_tail(),
        _service_times_ten(),
        _long_tasks(),
    )


def _steady() -> Trace:
    source = random.Random(1)
    times = _poisson(source, 1800, lambda _: 4.0, 4.0)
    return _trace("steady", "4 tasks/s at random, 2 s each (exponential), 30 min", times, _exponential(source, 2.0))


def _just_keeping_up() -> Trace:
    """As even as work gets: eight workers are all but full, and the queue is empty whenever one looks."""
    source = random.Random(2)
    times = (number / 4.0 for number in range(4 * 3600))
    what = "a task every 0.25 s, 1.95 s each (lognormal, sigma 0.1): 7.8 workers' work, 1 h"
    return _trace("just keeping up", what, times, _lognormal(source, 1.95, 0.1))


def _burst() -> Trace:
    source = random.Random(3)
    bursts = ((30.0, 3000), (1000.0, 1000), (1900.0, 200))
    times = [start + source.random() for start, tasks in bursts for _ in range(tasks)]
    what = "3,000 tasks within a second, 1,000 after 16 min, 200 after 31 min; 2 s each (lognormal, sigma 0.5)"
    return _trace("burst", what, sorted(times), _lognormal(source, 2.0, 0.5))


def _sawtooth() -> Trace:
    source = random.Random(4)
    times = _poisson(source, 6 * 300, lambda time: 10.0 * (time % 300) / 300, 10.0)
    what = "0 to 10 tasks/s within 5 min, then none, six times; 2 s each (exponential)"
    return _trace("sawtooth", what, times, _exponential(source, 2.0))


def _diurnal() -> Trace:
    source = random.Random(5)
    times = _poisson(source, 7200, lambda time: 3.0 * (1 - math.cos(2 * math.pi * time / 3600)), 6.0)
    what = "0 to 6 tasks/s and back in the shape of a day, a day pressed into 1 h, two days; 3 s each (exponential)"
    return _trace("diurnal", what, times, _exponential(source, 3.0))


def _heavy_tail() -> Trace:
    source = random.Random(6)
    times = _poisson(source, 3600, lambda _: 2.0, 2.0)
    what = "2 tasks/s at random, 3 s each on average but Pareto (alpha 1.5, at most 600 s), 1 h"
    return _trace("heavy tail", what, times, lambda _: min(LONGEST_TASK_SECONDS, source.paretovariate(1.5)))


def _service_times_ten() -> Trace:
    source = random.Random(7)
    times = _poisson(source, 2400, lambda _: 2.0, 2.0)
    draw = _lognormal(source, 1.0, 0.5)
    what = "2 tasks/s at random, 1 s each (lognormal, sigma 0.5), but 10 s between minutes 10 and 25 of 40"
    return _trace("tasks ten times as long", what, times, lambda at: draw(at) * (10 if 600 <= at < 1500 else 1))


def _long_tasks() -> Trace:
    """Tasks that are long against every average: whole minutes pass without one ack."""
    source = random.Random(8)
    times = _poisson(source, 7200, lambda _: 1 / 60, 1 / 60)
    what = "a task a minute at random, 120 s each (lognormal, sigma 0.3): 2 workers' work, 2 h"
    return _trace("long tasks", what, times, _lognormal(source, 120.0, 0.3))


def _trace(name: str, what: str, times: "Iterator[float] | list[float]", draw: Draw) -> Trace:
    return Trace(name, what, tuple(Task(time, min(LONGEST_TASK_SECONDS, draw(time))) for time in times))


def _poisson(source: random.Random, seconds: float, rate: Callable[[float], float], highest: float) -> Iterator[float]:
    """Times of a Poisson process whose rate a second changes with time, by thinning."""
    time = source.expovariate(highest)
    while time < seconds:
        if source.random() * highest < rate(time):
            yield time
        time += source.expovariate(highest)


def _exponential(source: random.Random, mean: float) -> Draw:
    return lambda _: source.expovariate(1 / mean)


def _lognormal(source: random.Random, mean: float, sigma: float) -> Draw:
    return lambda _: source.lognormvariate(math.log(mean) - sigma**2 / 2, sigma)
