"""One queue and its workers, event by event. Knows no scaler: they look at it and call `scale`.

A worker takes one task at a time and acks after it; on SIGTERM it finishes its task first.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from benchmarks.simulation.traces import Task, Trace

#: Seconds from the patched scale to a consuming worker: 0.6 to 0.9 s were measured on a local node.
POD_START_SECONDS = 0.8
#: Seconds between two points of the recorded curves.
RECORD_SECONDS = 5.0
#: Seconds of the clock at which scalers start to watch; the first task comes after 0.
WATCHING_FROM = -120.0


@dataclass(eq=False)
class Worker:
    """One pod."""

    created: float
    name: str
    started: bool = False
    task: Task | None = None
    #: It got its SIGTERM; it takes nothing more.
    leaving: bool = False

    @property
    def idle(self) -> bool:
        """Without a task; one that has not started has none."""
        return self.task is None


@dataclass(frozen=True)
class Point:
    """What the curves show at one time."""

    time: float
    messages_ready: int
    replicas: int
    busy: int


@dataclass
class Record:
    """What happened."""

    #: Seconds from publish to start, of each started task.
    waits: list[float] = field(default_factory=list)
    curve: list[Point] = field(default_factory=list)
    changes: int = 0
    workers_started: int = 0
    #: Workers that got their SIGTERM while they had a task.
    busy_stopped: int = 0
    #: Seconds that pods existed, draining ones too.
    replica_seconds: float = 0.0


class World:
    """The queue, the workers and the clock."""

    def __init__(self, trace: Trace) -> None:
        self.now = WATCHING_FROM
        self.trace = trace
        self.record = Record()
        self.published = 0
        self.acked = 0
        self.unacknowledged = 0
        #: The Deployment's spec.replicas.
        self.replicas = 0
        self.workers: list[Worker] = []
        self._ready: deque[Task] = deque()
        self._idle: deque[Worker] = deque()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._dice = random.Random(0)
        self.every(RECORD_SECONDS, self._note, first=0.0)

    @property
    def messages_ready(self) -> int:
        """Messages that no worker has."""
        return len(self._ready)

    @property
    def consumers(self) -> int:
        """Workers that take tasks."""
        return sum(1 for worker in self.workers if worker.started)

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something later."""
        heapq.heappush(self._events, (time, next(self._order), action))

    def every(self, seconds: float, action: Callable[[], None], first: float) -> None:
        """Do something again and again."""

        def again() -> None:
            action()
            self.at(self.now + seconds, again)

        self.at(first, again)

    def run(self) -> Record:
        """Until the trace's horizon."""
        for task in self.trace.tasks:
            self.at(task.published, partial(self._publish, task))
        while self._events and self._events[0][0] <= self.trace.horizon:
            self.now, _, action = heapq.heappop(self._events)
            action()
        self.record.replica_seconds += sum(self.trace.horizon - worker.created for worker in self.workers)
        self.record.waits += [self.trace.horizon - task.published for task in self._ready]
        return self.record

    def scale(self, replicas: int, marked: Collection[Worker] = ()) -> None:
        """Set the Deployment's size; of those that can go, the `marked` ones go first."""
        if replicas == self.replicas:
            return
        self.record.changes += 1
        self.replicas = replicas
        while len(self._staying()) < replicas:
            self._create()
        going = len(self._staying()) - replicas
        for worker in self.deletion_order(marked)[: max(0, going)]:
            self._stop(worker)

    def deletion_order(self, marked: Collection[Worker]) -> list[Worker]:
        """Workers as a ReplicaSet deletes them: not ready, then marked, then young, and chance among the alike.

        Source: Kubernetes pkg/controller/controller_utils.go ActivePodsWithRanks; ages count in powers of two
        (KEP-2185), which is why chance decides among workers that are old.
        """
        return sorted(self._staying(), key=lambda one: self._rank(one, one in marked))

    def _rank(self, worker: Worker, marked: bool) -> tuple[bool, bool, int, float]:
        age = math.floor(math.log2(max(1.0, self.now - worker.created)))
        return worker.started, not marked, age, self._dice.random()

    def _staying(self) -> list[Worker]:
        return [worker for worker in self.workers if not worker.leaving]

    def _create(self) -> None:
        self.record.workers_started += 1
        worker = Worker(self.now, f"worker-{self.record.workers_started}")
        self.workers.append(worker)
        self.at(self.now + POD_START_SECONDS, lambda: self._start(worker))

    def _start(self, worker: Worker) -> None:
        if not worker.leaving:
            worker.started = True
            self._idle.append(worker)
            self._deliver()

    def _stop(self, worker: Worker) -> None:
        worker.leaving = True
        if worker.idle:
            self._remove(worker)
        else:
            self.record.busy_stopped += 1

    def _remove(self, worker: Worker) -> None:
        self.workers.remove(worker)
        self.record.replica_seconds += self.now - worker.created

    def _publish(self, task: Task) -> None:
        self.published += 1
        self._ready.append(task)
        self._deliver()

    def _deliver(self) -> None:
        while self._ready and self._idle:
            worker = self._idle.popleft()
            if not worker.leaving:
                self._begin(worker, self._ready.popleft())

    def _begin(self, worker: Worker, task: Task) -> None:
        worker.task = task
        self.unacknowledged += 1
        self.record.waits.append(self.now - task.published)
        self.at(self.now + task.seconds, lambda: self._finish(worker))

    def _finish(self, worker: Worker) -> None:
        worker.task = None
        self.unacknowledged -= 1
        self.acked += 1
        if worker.leaving:
            self._remove(worker)
        else:
            self._idle.append(worker)
            self._deliver()

    def _note(self) -> None:
        self.record.curve.append(Point(self.now, self.messages_ready, self.replicas, self.unacknowledged))
