"""The operator's own metrics: the only importer of prometheus_client's instruments. Labels are bounded.

Numbers of a WorkQueue are read from the store at each scrape, so that a deleted one leaves no series behind.
"""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from workqueue_operator.demand import Counts
from workqueue_operator.resource import WorkQueue
from workqueue_operator.scaling import Reason, Unknown, Workers, readable
from workqueue_operator.store import Store, Tracked
from workqueue_operator.victims import State

#: What is written to the API server: scale, status, Events, and the marks of idle pods.
VERBS = ("scale", "status", "event", "mark")
#: Why a queue could not be read: the kinds of workqueue_broker.errors; and of management.ManagementError.
BROKER_KINDS = (
    *("broker", "invalid_address", "unavailable", "access_refused", "queue_missing", "queue_mismatch"),
    "message_refused",  # of one who publishes: the operator does not
    *("management", "management_refused", "policy_refused"),
)
#: The kinds of ClusterError.
CLUSTER_KINDS = ("cluster", "unavailable", "forbidden", "not_found", "conflict", "rejected")
#: Whose failure the border keeps from the others: a loop of the operator's own, of one broker, management API or
#: namespace, one WorkQueue's pass, or the reading of one Secret.
LOOP_KINDS = ("assign", "resync", "unread", "broker", "management", "namespace", "watch", "pass", "secret")


def new_registry() -> CollectorRegistry:
    """A registry with the process's own numbers."""
    registry = CollectorRegistry()
    for collect in (ProcessCollector, PlatformCollector, GCCollector):
        collect(registry=registry)
    return registry


class Metrics:
    """Counters of what the operator does."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.readings = Counter("workqueue_operator_readings", "Queues read", registry=registry)
        self.broker_errors = _counter(
            "broker_errors", "Queues that could not be read, by kind of error", "kind", registry
        )
        self.policies_set = Counter("workqueue_operator_policies_set", "Policies set in RabbitMQ", registry=registry)
        self.cluster_errors = _counter("cluster_errors", "Requests the API server refused, by kind", "kind", registry)
        self.loop_failures = _counter("loop_failures", "Failures that were kept from other loops", "loop", registry)
        self.decisions = _counter("decisions", "Decisions that changed size or reason, by reason", "reason", registry)
        self.api_writes = _counter("api_writes", "Writes to the API server, by what was written", "verb", registry)
        self.victims = _counter(
            "scale_down_victims",
            "Workers that went in a shrink, by what they said that they did when they were told to",
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
        self.scale_request_seconds = Histogram(
            "workqueue_operator_scale_request_seconds",
            "Seconds that the API server took to scale a Deployment",
            buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )
        for kind in BROKER_KINDS:
            self.broker_errors.labels(kind)
        for kind in CLUSTER_KINDS:
            self.cluster_errors.labels(kind)
        for kind in LOOP_KINDS:
            self.loop_failures.labels(kind)
        for reason in Reason:
            self.decisions.labels(reason)
        for verb in VERBS:
            self.api_writes.labels(verb)
        for state in State:
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
            "messages_ready": ("Messages ready in the queue", self._messages_ready),
            "queue_observed": ("1 while the queue can be read", self._observed),
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

    def _reading(self, tracked: Tracked) -> Counts | Unknown | None:
        """The last reading, as far as it can be believed beside the workers there are."""
        if tracked.memory.reading is None:
            return None
        target = self._store.target(tracked.spec.target) if isinstance(tracked.spec, WorkQueue) else None
        workers = Workers(target.replicas, target.ready) if target else Workers(0, 0)
        return readable(tracked.memory.reading, workers, tracked.memory.history.in_use)

    def _messages_ready(self, tracked: Tracked) -> float | None:
        reading = self._reading(tracked)
        return reading.messages_ready if isinstance(reading, Counts) else None

    def _observed(self, tracked: Tracked) -> float | None:
        reading = self._reading(tracked)
        return None if reading is None else float(isinstance(reading, Counts))


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


def _counter(name: str, text: str, label: str, registry: CollectorRegistry) -> Counter:
    return Counter(f"workqueue_operator_{name}", text, [label], registry=registry)


def _age(tracked: Tracked, now: float) -> float | None:
    return None if tracked.memory.read_at is None else max(0.0, now - tracked.memory.read_at)


def _desired(tracked: Tracked) -> float | None:
    return tracked.memory.decision.replicas if tracked.memory.decision else None


def _wanted(tracked: Tracked) -> float | None:
    return tracked.memory.decision.wanted if tracked.memory.decision else None
