"""The metrics that a handler's module registers in prometheus_client's default registry, on the worker's page.

They come from foreign code: a collector that raises, hangs or takes a name of the worker's costs its own series only.
"""

import contextlib
import threading
import time
from collections.abc import Iterable

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, REGISTRY, CollectorRegistry, Metric, generate_latest

from workqueue_worker import logs

logger = logs.logger(__name__)

#: Seconds that a page waits for the collectors. The operator waits for the page one second, before a scale-down.
COLLECT_SECONDS = 0.5


class HandlerMetrics:
    """Reads the registry in a thread of its own, one reading at a time. Safe from several threads."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._registry = registry
        self._reading: _Reading | None = None
        self._lock = threading.Lock()
        self._complained = False

    def page(self, ours: Iterable[Metric]) -> bytes:
        """The series whose names clash with none of `ours`; those of a reading that takes too long are left out."""
        with self._lock:
            if self._reading is None or not self._reading.is_alive():
                self._reading = _Reading(self._registry, _taken(ours))
                self._reading.begin()
            reading = self._reading
        if reading.is_alive():
            reading.join(max(0.0, reading.until - time.monotonic()))
        problem = f"a collector takes longer than {COLLECT_SECONDS:g} s" if reading.is_alive() else reading.problem
        if problem and not self._complained:
            self._complained = True
            logger.warning("/metrics lacks metrics of the handler's module: %s", problem)
        return b"".join(list(reading.series))


class _Reading(threading.Thread):
    """One reading; `series` has what has come so far, in the text format, and `problem` why there is no more."""

    def __init__(self, registry: CollectorRegistry, taken: set[str]) -> None:
        """`taken`: names that are left out."""
        super().__init__(name="handler-metrics", daemon=True)
        self.series: list[bytes] = []
        self.problem = ""
        #: On the monotonic clock: one that hangs is waited for once, and not for each page.
        self.until = time.monotonic() + COLLECT_SECONDS
        self._registry = registry
        self._taken = taken

    def begin(self) -> None:
        """Start, unless the handler's module has used up all the threads that the process may have."""
        try:
            self.start()
        except RuntimeError:
            self.problem = "no thread can be started to read them"

    def run(self) -> None:
        try:
            for metric in self._registry.collect():
                self._add(metric)
        except BaseException as error:  # noqa: BLE001 - whatever a collector of the user's raises
            self.problem = f"a collector raises {type(error).__name__}"

    def _add(self, metric: Metric) -> None:
        """The first metric of each name, if it is one: a collector of the user's may give anything."""
        with contextlib.suppress(Exception):
            names = _names(metric)
            if not names & self._taken:
                self.series.append(rendered(metric))
                self._taken |= names


def rendered(metric: Metric) -> bytes:
    """One metric in the text format, without the `_created` series, which no dashboard needs."""
    kept = Metric(metric.name, metric.documentation, metric.type, metric.unit)
    kept.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
    return generate_latest(_Just(kept))


class _Just(CollectorRegistry):
    """One metric of another registry."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return [self._metric]


def _taken(ours: Iterable[Metric]) -> set[str]:
    """The names of our metrics, and of those that prometheus_client registers in every process."""
    of_python = [metric for collector in (PLATFORM_COLLECTOR, GC_COLLECTOR) for metric in collector.collect()]
    return {name for metric in (*ours, *of_python) for name in _names(metric)}


def _names(metric: Metric) -> set[str]:
    return {metric.name, *(sample.name for sample in metric.samples)}
