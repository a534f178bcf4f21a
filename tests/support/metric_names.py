"""Which metrics operator, worker and producer export, by their own registries, and which ones a PromQL query uses.

For the tests of alerts and dashboards: a query that names a missing metric or label answers nothing, silently.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from passes import Operator
from prometheus_client import CollectorRegistry
from workqueue_producer.metrics import PublisherMetrics
from workqueue_worker.metrics import WorkerMetrics

#: Labels that Prometheus gives each series by the target that it scraped.
TARGET_LABELS = frozenset({"namespace", "pod", "instance", "job"})
#: What a family of each type is called in its samples, and the labels that come with it.
_SAMPLES: dict[str, Mapping[str, frozenset[str]]] = {
    "counter": {"_total": frozenset()},
    "histogram": {"_bucket": frozenset({"le"}), "_sum": frozenset(), "_count": frozenset()},
}
_GAUGE: Mapping[str, frozenset[str]] = {"": frozenset()}

_METRIC = re.compile(r"\b(workqueue_\w+)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")


@dataclass(frozen=True)
class Used:
    """What a query names: the labels that it matches, by metric, and those that it groups or joins by."""

    matched: Mapping[str, frozenset[str]]
    grouped: frozenset[str]


def exported() -> dict[str, frozenset[str]]:
    """The labels of each metric, by the name that a query uses, such as `workqueue_task_wait_seconds_bucket`."""
    publishers = CollectorRegistry()
    PublisherMetrics(publishers)
    found: dict[str, frozenset[str]] = {}
    for registry in (Operator().registry, WorkerMetrics("thumbnails").registry, publishers):
        found.update(_samples(registry))
    return found


def _samples(registry: CollectorRegistry) -> Iterator[tuple[str, frozenset[str]]]:
    """By what instruments and families declare, as a series without a value has no sample."""
    for collector in registry._collector_to_names:
        for family in collector.collect():
            declared = {*getattr(collector, "_labelnames", ()), *getattr(family, "_labelnames", ())}
            for suffix, more in _SAMPLES.get(family.type, _GAUGE).items():
                yield family.name + suffix, frozenset(declared) | more


def used(query: str) -> Used:
    """What a query names, of our metrics alone."""
    matched: dict[str, frozenset[str]] = {}
    for name, matchers in _METRIC.findall(query):
        matched[name] = matched.get(name, frozenset()) | frozenset(_MATCHER.findall(matchers))
    labels = (label.strip() for group in _GROUPING.findall(query) for label in group.split(","))
    return Used(matched, frozenset(filter(None, labels)))
