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

#: A name with a colon is a recorded series, not an exported one.
_METRIC = re.compile(r"(?<![\w:])(workqueue_\w+)\b(?!:)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")


_QUEUE = frozenset({"namespace", "workqueue"})
#: Metrics that are being written; taken out when the registries have them.
_COMING: Mapping[str, frozenset[str]] = {
    **{
        f"workqueue_operator_{name}": _QUEUE
        for name in (
            *("min_replicas", "max_replicas", "ready_replicas", "messages_unacknowledged", "consumers"),
            *("dead_letters", "oldest_message_age_seconds"),
            *("messages_published_total", "messages_acked_total", "messages_redelivered_total"),
        )
    },
    "workqueue_operator_workqueue_info": _QUEUE | {"queue", "deployment", "mode"},
    "workqueue_operator_decision_reason": _QUEUE | {"reason"},
    "workqueue_operator_condition": _QUEUE | {"type", "status", "reason"},
    "workqueue_operator_scales_total": _QUEUE | {"direction"},
    "workqueue_operator_last_scale_timestamp_seconds": _QUEUE | {"reason"},
    "workqueue_operator_scale_down_victims_total": _QUEUE | {"state"},
    "workqueue_operator_broker_errors_total": frozenset({"broker", "kind"}),
    "workqueue_operator_build_info": frozenset({"version", "python"}),
    "workqueue_worker_slots": frozenset({"queue"}),
    "workqueue_worker_info": frozenset({"queue", "version", "handler"}),
    "workqueue_worker_busy_seconds_total": frozenset({"queue"}),
}


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
    return {**found, **_COMING}


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
