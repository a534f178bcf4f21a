"""The producer's Prometheus metrics, for applications. The only importer of prometheus_client.

One PublisherMetrics serves all publishers of a process; each series has the label `queue` and is there from the start.
"""

from enum import StrEnum

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

#: Seconds.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class ResendCause(StrEnum):
    """Why a message is sent once more."""

    CONNECTION = "connection"
    #: Nacked: the queue is full and its overflow is reject-publish.
    REJECTED = "rejected"
    #: Returned: the queue was gone.
    UNROUTABLE = "unroutable"


class PublisherMetrics:
    """All series of the producers of a process; give it the registry that the application exposes, or None."""

    def __init__(self, registry: CollectorRegistry | None = REGISTRY) -> None:
        def named(name: str) -> str:
            return f"workqueue_producer_{name}"

        queue = ("queue",)
        self.confirmed = Counter(named("tasks_confirmed"), "Tasks the broker confirmed.", queue, registry=registry)
        self.failed = Counter(
            named("tasks_unconfirmed"), "Tasks given up without a confirm; they may be there.", queue, registry=registry
        )
        self.resent = Counter(
            named("tasks_resent"), "Messages sent once more, under the same id.", ("queue", "cause"), registry=registry
        )
        self.confirm_seconds = Histogram(
            named("confirm_seconds"),
            "Seconds from publish to confirm, of one message for each answer of the broker.",
            queue,
            registry=registry,
            buckets=_BUCKETS,
        )
        self.unsettled = Gauge(named("tasks_unsettled"), "Tasks that wait for a confirm.", queue, registry=registry)
        self.connected = Gauge(named("broker_connected"), "1 while the connection is usable.", queue, registry=registry)
        self.blocked = Gauge(
            named("broker_blocked"), "1 while an alarm of the broker holds us back.", queue, registry=registry
        )


class QueueMetrics:
    """The same for one queue, with the labels looked up once."""

    def __init__(self, metrics: PublisherMetrics, queue: str) -> None:
        self.confirmed = metrics.confirmed.labels(queue)
        self.failed = metrics.failed.labels(queue)
        self.resent = {cause: metrics.resent.labels(queue, cause) for cause in ResendCause}
        self.confirm_seconds = metrics.confirm_seconds.labels(queue)
        self.unsettled = metrics.unsettled.labels(queue)
        self.connected = metrics.connected.labels(queue)
        self.blocked = metrics.blocked.labels(queue)
