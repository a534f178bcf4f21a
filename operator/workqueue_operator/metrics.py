"""The operator's own metrics: the only importer of prometheus_client's instruments. Labels are bounded.

Numbers of a WorkQueue are read from the store at each scrape, so that a deleted one leaves no series behind.
"""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from workqueue_operator.demand import Counts
from workqueue_operator.scaling import Reason
from workqueue_operator.store import Store, Tracked

VERBS = ("scale", "status", "event", "mark")
ERROR_KINDS = (
    *("unavailable", "access_refused", "queue_missing", "queue_mismatch", "invalid_address"),
    *("forbidden", "not_found", "conflict", "management", "management_refused", "policy_refused"),
)


class Metrics:
    """Counters of what the operator does."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.readings = Counter("workqueue_operator_readings", "Queues read", registry=registry)
        self.broker_errors = _counter(
            "broker_errors", "Queues that could not be read, by kind of error", "kind", registry
        )
        self.policies_set = Counter("workqueue_operator_policies_set", "Policies set in RabbitMQ", registry=registry)
        self.cluster_errors = _counter("cluster_errors", "Requests the API server refused, by kind", "kind", registry)
        self.decisions = _counter("decisions", "Decisions that changed size or reason, by reason", "reason", registry)
        self.api_writes = _counter("api_writes", "Writes to the API server, by what was written", "verb", registry)
        self.victims = _counter(
            "scale_down_victims",
            "Workers that went in a shrink, by what they did when they were told to",
            "state",
            registry,
        )
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
        for kind in ERROR_KINDS:
            self.broker_errors.labels(kind)
            self.cluster_errors.labels(kind)
        for reason in Reason:
            self.decisions.labels(reason)
        for verb in VERBS:
            self.api_writes.labels(verb)
        for state in ("idle", "busy"):
            self.victims.labels(state)


class WorkQueueCollector(Collector):
    """Gauges of each WorkQueue, made at the scrape."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        """One family a number, one sample a WorkQueue that has it."""
        now = self._clock()
        numbers: dict[str, tuple[str, Callable[[Tracked], float | None]]] = {
            "messages_ready": ("Messages ready in the queue", _messages_ready),
            "queue_observed": ("1 while the queue can be read", _observed),
            "reading_age_seconds": ("Seconds since the last reading", lambda tracked: _age(tracked, now)),
            "replicas": ("Replicas the Deployment has", lambda tracked: tracked.memory.replicas),
            "desired_replicas": ("Replicas it should have now", _desired),
            "wanted_replicas": ("Replicas the queue asks for within min and max", _wanted),
        }
        for name, (text, number) in numbers.items():
            family = GaugeMetricFamily(f"workqueue_operator_{name}", text, labels=("namespace", "workqueue"))
            for tracked in self._store:
                value = number(tracked)
                if value is not None:
                    family.add_metric((tracked.key.namespace, tracked.key.name), value)
            yield family


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


def _counter(name: str, text: str, label: str, registry: CollectorRegistry) -> Counter:
    return Counter(f"workqueue_operator_{name}", text, [label], registry=registry)


def _messages_ready(tracked: Tracked) -> float | None:
    reading = tracked.memory.reading
    return reading.messages_ready if isinstance(reading, Counts) else None


def _observed(tracked: Tracked) -> float | None:
    reading = tracked.memory.reading
    return None if reading is None else float(isinstance(reading, Counts))


def _age(tracked: Tracked, now: float) -> float | None:
    return None if tracked.memory.read_at is None else max(0.0, now - tracked.memory.read_at)


def _desired(tracked: Tracked) -> float | None:
    return tracked.memory.decision.replicas if tracked.memory.decision else None


def _wanted(tracked: Tracked) -> float | None:
    return tracked.memory.decision.wanted if tracked.memory.decision else None
