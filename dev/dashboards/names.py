"""The metrics that the code exports and their labels, asked of the very registries that are scraped."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from workqueue_operator.metrics import HeartbeatCollector, Metrics, WatchCollector, new_registry
from workqueue_operator.store import Store
from workqueue_operator.workqueue_metrics import WorkQueueCollector
from workqueue_producer.metrics import PublisherMetrics
from workqueue_worker.metrics import WorkerMetrics

#: What a scrape by ServiceMonitor and PodMonitor adds to each series that has no such label.
SCRAPE_LABELS = frozenset(("namespace", "pod", "job", "instance"))
#: Metrics of kube-state-metrics and cAdvisor, which a cluster may not have.
OF_THE_CLUSTER: Mapping[str, frozenset[str]] = {
    "kube_pod_status_phase": frozenset(("namespace", "pod", "phase")),
    "kube_pod_container_resource_limits": frozenset(("namespace", "pod", "container", "resource")),
    "container_memory_working_set_bytes": frozenset(("namespace", "pod", "container")),
}
#: The series of a type, by what follows the metric's name, with the labels that the type adds.
SERIES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "counter": {"_total": ()},
    "histogram": {"_bucket": ("le",), "_sum": (), "_count": ()},
}


def exported() -> dict[str, frozenset[str]]:
    """Each series of operator, worker and producer, with the labels that it has in a scrape."""
    registries = (_operator(), WorkerMetrics("queue").registry, _producer())
    return {name: labels | SCRAPE_LABELS for registry in registries for name, labels in _series(registry)}


def known() -> dict[str, frozenset[str]]:
    """The same with the metrics of the cluster."""
    return {**exported(), **OF_THE_CLUSTER}


def _operator() -> CollectorRegistry:
    registry = new_registry()
    Metrics(registry)
    registry.register(WorkQueueCollector(Store(), lambda: 0.0))
    registry.register(HeartbeatCollector(dict))
    registry.register(WatchCollector((), lambda _: None))
    return registry


def _producer() -> CollectorRegistry:
    registry = CollectorRegistry()
    PublisherMetrics(registry)
    return registry


def _series(registry: CollectorRegistry) -> Iterator[tuple[str, frozenset[str]]]:
    # prometheus_client has no public way to the label names of a metric without a sample.
    for collector in registry._collector_to_names:
        families: Iterable[Metric] = collector.collect()
        for family in families:
            holder = collector if hasattr(collector, "_labelnames") else family
            labels = frozenset(getattr(holder, "_labelnames", ()))
            for ending, more in SERIES.get(family.type, {"": ()}).items():
                yield family.name + ending, labels.union(more)
