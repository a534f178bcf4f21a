"""The metrics of each WorkQueue and of each broker, read from the store at the scrape: a deleted one leaves no series.

A scrape goes over the store once. What is not known has no sample, never a zero.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from workqueue_operator.cluster.port import Target
from workqueue_operator.memory import Memory
from workqueue_operator.resource import WorkQueue
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.scaling.rates import Sample
from workqueue_operator.scaling.victims import State
from workqueue_operator.store import Store
from workqueue_operator.totals import Direction
from workqueue_operator.tracked import Tracked

#: Why a queue could not be read: the kinds of workqueue_broker.errors; and of management.ManagementError.
BROKER_KINDS = (
    *("broker", "invalid_address", "unavailable", "access_refused", "queue_missing", "queue_mismatch"),
    "message_refused",  # of a publisher: the operator publishes nothing
    *("management", "management_refused", "policy_refused"),
)
PREFIX = "workqueue_operator_"


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of one WorkQueue at the scrape."""

    memory: Memory
    #: None: the spec cannot be used.
    spec: WorkQueue | None
    #: The last reading, as far as it can be believed beside the workers; None: there was none yet.
    reading: Counts | Unknown | None
    #: Seconds of the clock when the broker was asked for the last counts; None: there were none yet.
    read_at: float | None
    #: The counts of that reading; None: they are not known.
    counts: Counts | None
    #: The Deployment; None: nothing is decided about it.
    target: Target | None
    #: The broker's totals; None: not known, or too old.
    totals: Sample | None
    #: Messages in its dead-letter queue; None: not known.
    dead_letters: int | None
    #: Seconds that the first message has waited; None: not known.
    oldest: float | None
    #: Seconds of the operator's clock.
    now: float


@dataclass(frozen=True)
class Number:
    """A number that a WorkQueue has once, or not at all."""

    name: str
    text: str
    of: Callable[[Look], float | None]
    is_counter: bool = False

    def samples(self, look: Look) -> Iterable[tuple[tuple[str, ...], float]]:
        """The number, without further labels."""
        number = self.of(look)
        return () if number is None else (((), number),)

    @property
    def labels(self) -> tuple[str, ...]:
        """No labels beside the WorkQueue's own."""
        return ()


@dataclass(frozen=True)
class Labelled:
    """Numbers that a WorkQueue has by further labels: the values of these, and the number."""

    name: str
    text: str
    labels: tuple[str, ...]
    samples: Callable[[Look], Iterable[tuple[tuple[str, ...], float]]]
    is_counter: bool = False


def _observed(look: Look) -> float | None:
    return None if look.reading is None else float(look.counts is not None)


def _age(look: Look) -> float | None:
    return None if look.read_at is None else max(0.0, look.now - look.read_at)


def _info(look: Look) -> Iterator[tuple[tuple[str, ...], float]]:
    if look.spec:
        yield (look.spec.queue.declaration.name, look.spec.target.name, str(look.spec.mode)), 1.0


def _reason(look: Look) -> Iterator[tuple[tuple[str, ...], float]]:
    if look.memory.reported.decision:
        yield (str(look.memory.reported.decision.reason),), 1.0


def _last_scale(look: Look) -> Iterator[tuple[tuple[str, ...], float]]:
    if last := look.memory.totals.last_scale:
        yield (str(last.reason),), last.time


#: One sample a WorkQueue at most.
NUMBERS = (
    Number("messages_ready", "Messages ready in the queue", lambda it: it.counts.messages_ready if it.counts else None),
    Number(
        "messages_unacknowledged",
        "Messages that consumers hold, from the management API",
        lambda it: it.counts.messages_unacknowledged if it.counts else None,
    ),
    Number("consumers", "Consumers of the queue", lambda it: it.counts.consumers if it.counts else None),
    Number("oldest_message_age_seconds", "Seconds that the first message has waited", lambda it: it.oldest),
    Number("dead_letters", "Messages ready in the dead-letter queue", lambda it: it.dead_letters),
    Number("queue_observed", "1 while the queue can be read", _observed),
    Number("reading_age_seconds", "Seconds since the last reading", _age),
    Number("min_replicas", "spec.scaling.minReplicas", lambda it: it.spec.scaling.min_replicas if it.spec else None),
    Number("max_replicas", "spec.scaling.maxReplicas", lambda it: it.spec.scaling.max_replicas if it.spec else None),
    Number("replicas", "Replicas the Deployment has", lambda it: it.memory.reported.replicas),
    Number(
        "ready_replicas", "Replicas of the Deployment that are Ready", lambda it: it.target.ready if it.target else None
    ),
    Number(
        "desired_replicas",
        "Replicas the Deployment should have now",
        lambda it: it.memory.reported.decision.replicas if it.memory.reported.decision else None,
    ),
    Number(
        "wanted_replicas",
        "Replicas the queue asks for within min and max",
        lambda it: it.memory.reported.decision.wanted if it.memory.reported.decision else None,
    ),
    Number(
        "messages_published",
        "Messages published to the queue since the broker's start",
        lambda it: it.totals.published if it.totals else None,
        is_counter=True,
    ),
    Number(
        "messages_acked",
        "Messages of the queue that consumers acked since the broker's start",
        lambda it: it.totals.acked if it.totals else None,
        is_counter=True,
    ),
    Number(
        "messages_redelivered",
        "Messages of the queue that were delivered again since the broker's start",
        lambda it: it.totals.redelivered if it.totals else None,
        is_counter=True,
    ),
)
#: Several samples a WorkQueue, or one whose label names what is in force.
LABELLED = (
    Labelled("workqueue_info", "1, with what the spec names", ("queue", "deployment", "mode"), _info),
    Labelled("decision_reason", "1 for the reason in force", ("reason",), _reason),
    Labelled(
        "condition",
        "1 for each condition, with its status and reason in force",
        ("type", "status", "reason"),
        lambda it: (((one["type"], one["status"], one["reason"]), 1.0) for one in it.memory.reported.conditions),
    ),
    Labelled(
        "last_scale_timestamp_seconds", "When the Deployment was last scaled, Unix time", ("reason",), _last_scale
    ),
    Labelled(
        "scales",
        "Scales of the Deployment by the operator",
        ("direction",),
        lambda it: (((direction,), it.memory.totals.scales[direction]) for direction in Direction),
        is_counter=True,
    ),
    Labelled(
        "scale_down_victims",
        "Workers that left in a scale-down, by what they did when they were asked to",
        ("state",),
        lambda it: (((state,), it.memory.totals.victims[state]) for state in State),
        is_counter=True,
    ),
)


class WorkQueueCollector(Collector):
    """Metrics of each WorkQueue and each broker, made at the scrape."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        """One family a metric, with a sample for each WorkQueue that has it; each is made when it is asked for."""
        now = self._clock()
        looks = [(_key_labels(tracked), self._look(tracked, now)) for tracked in self._store]
        yield from (_filled(metric, looks) for metric in (*NUMBERS, *LABELLED))
        yield self._broker_errors()

    def _look(self, tracked: Tracked, now: float) -> Look:
        memory, spec = tracked.memory, tracked.workqueue
        target = self._store.target(spec.target) if spec else None
        reading = self._store.readable(tracked, tracked.last.reading) if tracked.last.reading else None
        return Look(
            memory,
            spec,
            reading,
            read_at=tracked.last.read_at,
            counts=reading if isinstance(reading, Counts) else None,
            target=None if memory.reported.replicas is None else target,
            totals=tracked.estimate.last if tracked.estimate.is_fresh(now) else None,
            oldest=tracked.oldest.age(now, reading.messages_ready) if isinstance(reading, Counts) else None,
            dead_letters=tracked.dead_letters.count(now),
            now=now,
        )

    def _broker_errors(self) -> Metric:
        text = "Answers of a broker or its management API that could not be used, by kind of error"
        family = CounterMetricFamily(f"{PREFIX}broker_errors", text, labels=("broker", "kind"))
        for broker, counts in self._store.broker_errors().items():
            for kind in BROKER_KINDS:
                family.add_metric((broker, kind), counts.get(kind, 0))
        return family


def _key_labels(tracked: Tracked) -> dict[str, str]:
    return {"namespace": tracked.key.namespace, "workqueue": tracked.key.name}


def _filled(metric: Number | Labelled, looks: Iterable[tuple[dict[str, str], Look]]) -> Metric:
    made = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
    name = f"{PREFIX}{metric.name}"
    family = made(name, metric.text, labels=("namespace", "workqueue", *metric.labels))
    for key, look in looks:
        for values, number in metric.samples(look):
            labels = {**key, **dict(zip(metric.labels, values, strict=True))} if values else key
            family.add_sample(name + ("_total" if metric.is_counter else ""), labels, number)
    return family
