"""The operator's own counters and gauges. Labels are bounded, and each value that one may have is there from the start.

What has a WorkQueue or a broker as a label is in workqueue_metrics.
"""

import platform
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from workqueue_operator.scaling.decision import Reason

#: What is written to the API server: scale, status, Events, and the marks of idle pods.
VERBS = ("scale", "status", "event", "mark")
#: The kinds of ClusterError.
CLUSTER_KINDS = ("cluster", "unavailable", "forbidden", "not_found", "conflict", "rejected")
#: Whose failure the border keeps from the others: a loop of the operator's own, of one broker, management API or
#: namespace, one WorkQueue's pass, or the reading of one Secret.
LOOP_KINDS = (
    *("assign", "resync", "unread", "broker", "management", "dead_letters"),
    *("namespace", "watch", "pass", "secret"),
)


def new_registry() -> CollectorRegistry:
    """A registry with the process's own numbers."""
    registry = CollectorRegistry()
    for collect in (ProcessCollector, PlatformCollector, GCCollector):
        collect(registry=registry)
    return registry


class Metrics:
    """Counters of what the operator does."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        # For the whole process: the library would give each counter a second series, which nothing reads.
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library gives it no types
        self.readings = Counter("workqueue_operator_readings", "Queues read", registry=registry)
        self.policies_set = Counter("workqueue_operator_policies_set", "Policies set in RabbitMQ", registry=registry)
        _set_build_info(registry)
        self.cluster_errors = _counter("cluster_errors", "Requests the API server refused, by kind", "kind", registry)
        self.loop_failures = _counter("loop_failures", "Failures that were kept from other loops", "loop", registry)
        self.decisions = _counter("decisions", "Decisions that changed size or reason, by reason", "reason", registry)
        self.api_writes = _counter("api_writes", "Writes to the API server, by what was written", "verb", registry)
        self.read_seconds = Histogram(
            "workqueue_operator_read_seconds",
            "Seconds that one round of reading a broker's queues took",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
            registry=registry,
        )
        self.scale_seconds = Histogram(
            "workqueue_operator_reading_to_scale_seconds",
            "Seconds from the start of a reading to the scaled Deployment",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )
        self.scale_request_seconds = Histogram(
            "workqueue_operator_scale_request_seconds",
            "Seconds that the API server took to scale a Deployment",
            buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )
        for kind in CLUSTER_KINDS:
            self.cluster_errors.labels(kind)
        for kind in LOOP_KINDS:
            self.loop_failures.labels(kind)
        for reason in Reason:
            self.decisions.labels(reason)
        for verb in VERBS:
            self.api_writes.labels(verb)


class HeartbeatCollector(Collector):
    """The age of each loop's last beat, made at the scrape."""

    def __init__(self, ages: Callable[[], Mapping[str, float]]) -> None:
        self._ages = ages

    def collect(self) -> Iterable[Metric]:
        """The oldest beat of all loops: one number, as the loops' names have no bound."""
        text = "Seconds since the last beat of the loop that is furthest behind"
        yield GaugeMetricFamily(
            "workqueue_operator_heartbeat_age_seconds", text, max(self._ages().values(), default=0.0)
        )


class WatchCollector(Collector):
    """Whether each namespace is watched, made at the scrape."""

    def __init__(self, namespaces: Iterable[str], failures: Callable[[str], int | None]) -> None:
        self._namespaces = tuple(namespaces)
        self._failures = failures

    def collect(self) -> Iterable[Metric]:
        """One sample a namespace whose watch was started ("" for the whole cluster)."""
        text = "1 while the namespace is watched, 0 from a failure of its watch until that ran for a minute again"
        family = GaugeMetricFamily("workqueue_operator_namespace_watched", text, labels=("namespace",))
        for namespace in self._namespaces:
            failures = self._failures(namespace)
            if failures is not None:
                family.add_metric((namespace,), float(failures == 0))
        yield family


def _set_build_info(registry: CollectorRegistry) -> None:
    name, text = "workqueue_operator_build_info", "1, with the versions of the operator and of Python"
    info = Gauge(name, text, ("version", "python"), registry=registry)
    info.labels(version("workqueue"), platform.python_version()).set(1)


def _counter(name: str, text: str, label: str, registry: CollectorRegistry) -> Counter:
    return Counter(f"workqueue_operator_{name}", text, [label], registry=registry)
