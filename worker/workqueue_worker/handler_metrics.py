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
                self._reading = _Reading(self._registry)
                self._reading.start()
            reading = self._reading
        reading.join(max(0.0, reading.until - time.monotonic()))
        problem = f"a collector takes longer than {COLLECT_SECONDS:g} s" if reading.is_alive() else reading.problem
        if problem and not self._complained:
            self._complained = True
            logger.warning("/metrics lacks metrics of the handler's module: %s", problem)
        return _page(list(reading.metrics), ours)


class _Reading(threading.Thread):
    """One reading; `metrics` has what has come so far, and `problem` why there is no more."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(name="handler-metrics", daemon=True)
        self.metrics: list[Metric] = []
        self.problem = ""
        #: On the monotonic clock: one that hangs is waited for once, and not for each page.
        self.until = time.monotonic() + COLLECT_SECONDS
        self._registry = registry

    def run(self) -> None:
        try:
            for metric in self._registry.collect():
                self.metrics.append(metric)
        except BaseException as error:  # noqa: BLE001 - whatever a collector of the user's raises
            self.problem = f"a collector raises {type(error).__name__}"


def rendered(metric: Metric) -> bytes:
    """One metric in the text format, without the `_created` series, which nobody asks for."""
    kept = Metric(metric.name, metric.documentation, metric.type, metric.unit)
    kept.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
    return generate_latest(_Just(kept))


class _Just(CollectorRegistry):
    """One metric that is there already."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return [self._metric]


def _page(metrics: Iterable[Metric], ours: Iterable[Metric]) -> bytes:
    """The first metric of each name, but none of ours nor of those that prometheus_client registers for everybody."""
    of_python = [metric for collector in (PLATFORM_COLLECTOR, GC_COLLECTOR) for metric in collector.collect()]
    taken = {name for metric in (*ours, *of_python) for name in _names(metric)}
    parts = []
    for metric in metrics:
        with contextlib.suppress(Exception):  # a collector of the user's may give anything
            names = _names(metric)
            if not names & taken:
                parts.append(rendered(metric))
                taken |= names
    return b"".join(parts)


def _names(metric: Metric) -> set[str]:
    return {metric.name, *(sample.name for sample in metric.samples)}
