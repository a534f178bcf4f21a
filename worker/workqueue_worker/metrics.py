"""The worker's Prometheus metrics: every name, its meaning and its labels.

Each series is there from the start, at zero. For a test: received = acked + requeued + dead-lettered + acks lost + in
progress, as a delivery is counted in exactly one of them.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from workqueue_worker.busy_time import BusyTime
from workqueue_worker.handler_metrics import HandlerMetrics, rendered
from workqueue_worker.settlement import DeadLetterReason, Done, FailureReason, RequeueCause

CONTENT_TYPE = CONTENT_TYPE_LATEST

#: Seconds: from a no-op to an hour, as the library's own end at 10 s.
_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


class WorkerMetrics:
    """All series of one worker."""

    def __init__(
        self, queue: str, slots: int = 1, handler: str = "", monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`slots`: tasks that it works on at a time. `handler`: the name of what does them, never a command's words."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._queue = queue
        self._handlers = HandlerMetrics()
        self._counters()
        self._gauges()
        self._constants(slots, handler)
        self.busy_time = BusyTime(monotonic)
        self.registry.register(_BusySeconds(queue, self.busy_time))
        self.task_duration = self._histogram("task_duration_seconds", "Seconds that a handler had a task.")
        self.task_wait = self._histogram("task_wait_seconds", "Seconds from publish to the start of the first attempt.")

    def _counters(self) -> None:
        count = self._counter
        self.received = count("tasks_received", "Deliveries from the broker.")
        self.redelivered = count("tasks_redelivered", "Deliveries that the broker had given to a consumer before.")
        self.acked = count("tasks_acked", "Deliveries acked as done.")
        self.acks_lost = count(
            "tasks_acks_lost", "Tasks whose settlement was lost with the connection; they come again."
        )
        self.reconnects = count("broker_reconnects", "Connections opened after the first.")
        self.failed = self._counter_by("tasks_failed", "Failed attempts.", "reason", FailureReason)
        self.requeued = self._counter_by("tasks_requeued", "Deliveries that went back.", "cause", RequeueCause)
        self.dead_lettered = self._counter_by("tasks_dead_lettered", "Tasks dead-lettered.", "reason", DeadLetterReason)
        #: The one series of each ending.
        self.settled: Mapping[str, Counter] = {Done.DONE: self.acked, **self.requeued, **self.dead_lettered}

    def _gauges(self) -> None:
        self.in_progress = self._gauge("tasks_in_progress", "Deliveries received and not yet settled.")
        self.held = self._gauge(
            "tasks_held", "Failed tasks in progress that wait for the broker to take a copy, for some seconds already."
        )
        self.connected = self._gauge("broker_connected", "1 while the worker consumes from the broker.")
        self.draining = self._gauge("worker_draining", "1 once the worker must leave.")

    def _constants(self, slots: int, handler: str) -> None:
        self._gauge("worker_slots", "Tasks that the worker works on at a time, its concurrency.").set(slots)
        labels = ["queue", "version", "handler"]
        info = Gauge("worker_info", "1; what this worker is.", labels, namespace="workqueue", registry=self.registry)
        info.labels(self._queue, version("workqueue"), handler).set(1)

    def of_the_handler(self) -> bytes:
        """The series of the handler's module, for page(). May take COLLECT_SECONDS."""
        return self._handlers.page(self.registry.collect())

    def page(self, of_the_handler: bytes) -> bytes:
        """What /metrics answers: the worker's series as they are now, then those of the handler's module."""
        return b"".join(map(rendered, self.registry.collect())) + of_the_handler

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, ["queue"], namespace="workqueue", registry=self.registry).labels(self._queue)

    def _counter_by(self, name: str, text: str, label: str, values: type[StrEnum]) -> dict[str, Counter]:
        counter = Counter(name, text, ["queue", label], namespace="workqueue", registry=self.registry)
        return {value: counter.labels(self._queue, value) for value in values}

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, ["queue"], namespace="workqueue", registry=self.registry).labels(self._queue)

    def _histogram(self, name: str, text: str) -> Histogram:
        histogram = Histogram(name, text, ["queue"], namespace="workqueue", buckets=_BUCKETS, registry=self.registry)
        return histogram.labels(self._queue)


class _BusySeconds(Collector):
    """A counter that grows while a task runs, and not only at its end."""

    def __init__(self, queue: str, busy_time: BusyTime) -> None:
        self._queue = queue
        self._busy_time = busy_time

    def collect(self) -> Iterable[Metric]:
        """Called for each page."""
        text = "Seconds that handlers have had tasks, summed over the slots; grows while a task runs."
        family = CounterMetricFamily("workqueue_worker_busy_seconds", text, labels=["queue"])
        family.add_metric([self._queue], self._busy_time.seconds)
        yield family
