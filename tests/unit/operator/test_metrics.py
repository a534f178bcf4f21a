"""The operator's metrics are those of docs/operations.md: no name, label or value more or less."""

import asyncio
import platform
import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from prometheus_client import generate_latest
from workqueue_broker import errors
from workqueue_broker.address import BrokerAddress
from workqueue_broker.errors import BrokerError
from workqueue_operator.cluster import port
from workqueue_operator.cluster.port import ClusterError
from workqueue_operator.loops.border import watch_name
from workqueue_operator.loops.heartbeat import Heartbeat
from workqueue_operator.metrics import CLUSTER_KINDS, LOOP_KINDS
from workqueue_operator.rabbitmq import dead_letters, management_api
from workqueue_operator.rabbitmq.dead_letters import DeadLetters
from workqueue_operator.rabbitmq.management_api import ManagementError
from workqueue_operator.rabbitmq.oldest_message import QueueTotals
from workqueue_operator.resource import Mode
from workqueue_operator.scaling.decision import Reason, Unknown
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.scaling.rates import STALE_SECONDS
from workqueue_operator.scaling.victims import State
from workqueue_operator.status import conditions
from workqueue_operator.workqueue_metrics import BROKER_KINDS, WorkQueueCollector

from tests.support.passes import WORKQUEUE, Operator, body

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"
PREFIX = "workqueue_operator_"
#: Of each label, the values there may be; those of a WorkQueue's gauges are its own name.
VALUES = {
    "reason": set(map(str, Reason)),
    "state": set(map(str, State)),
    "verb": {"scale", "status", "event", "mark"},
    "namespace": {"team"},
    "workqueue": {"thumbnails"},
    "loop": set(LOOP_KINDS),
    "direction": {"up", "down"},
    "broker": {"rabbitmq:5672/%2F"},
    "queue": {"thumbnails"},
    "deployment": {"thumbnails-worker"},
    "mode": set(map(str, Mode)),
    "type": {
        *(conditions.READY, conditions.QUEUE_OBSERVED, conditions.TARGET_FOUND, conditions.POLICY_APPLIED),
        *(conditions.SCALING_ACTIVE, conditions.SCALING_LIMITED, conditions.WORKERS_HEALTHY),
        *(conditions.WRITES_LIMITED, *conditions.PASSING),
    },
    "status": {"True", "False", "Unknown"},
    "version": {version("workqueue")},
    "python": {platform.python_version()},
}
ADDRESS = BrokerAddress(hosts=(("rabbitmq", 5672),), username="team-user", password="s3cret")


def documented() -> dict[str, set[str]]:
    """The labels of each metric in the page's table."""
    table = PAGE.read_text().partition("## Metrics of the operator")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(workqueue_operator_\w+?)(?:\{([\w,]+)\})?` \|", table, re.MULTILINE)
    return {name: set(labels.split(",")) - {""} for name, labels in rows}


async def watch(_heart: Heartbeat) -> None:
    """A watch of a namespace in which nothing happens."""
    await asyncio.Event().wait()


async def scraped() -> Operator:
    """An operator that has scaled a Deployment up and down, by a broker with a management API."""
    operator = Operator()
    tracked = operator.add()
    operator.store.set_address(tracked, ADDRESS)
    await operator.after(1, tracked, Counts(30, 0))
    await operator.after(70, tracked, Counts(0, 6, messages_unacknowledged=0))
    operator.measured(tracked, published=40, acked=30, redelivered=2, in_progress=0)
    tracked.oldest.measured(operator.clock.now, QueueTotals(40, 30), ordered=True)
    tracked.dead_letters = DeadLetters(messages=1, counted_at=operator.clock.now)
    await operator.watches_ended()
    return operator


def kinds(module: ModuleType, root: type[BrokerError | ClusterError | ManagementError]) -> set[str]:
    """The kinds of the module's own tree of errors."""
    return {one.kind for one in vars(module).values() if isinstance(one, type) and issubclass(one, root)}


async def test_each_metric_is_documented_with_its_labels_and_no_other_is() -> None:
    operator = await scraped()
    watching = asyncio.create_task(operator.loops.keep("watch", watch_name(WORKQUEUE.namespace), watch))
    await asyncio.sleep(0)  # it begins
    found: dict[str, set[str]] = {}
    for family in operator.registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        assert family.samples, f"{name} has no sample: a label's values must be there from the start"
        found[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    assert found == documented()
    watching.cancel()


async def test_label_values_are_bounded() -> None:
    operator = await scraped()
    for family in operator.registry.collect():
        allowed = {
            **VALUES,
            "kind": set(BROKER_KINDS if family.name == f"{PREFIX}broker_errors" else CLUSTER_KINDS),
        }
        if family.name == f"{PREFIX}condition":
            allowed["reason"] = {"AllConditionsMet", "Observed", "DeploymentFound", "Active", "WithinLimits", "Healthy"}
        for sample in family.samples:
            for label, value in sample.labels.items():
                assert label == "le" or value in allowed[label], sample


async def test_each_value_of_a_counters_label_is_there_from_the_start() -> None:
    operator = Operator()
    operator.store.set_address(operator.add(), ADDRESS)
    workqueue = {"namespace": WORKQUEUE.namespace, "workqueue": WORKQUEUE.name}
    for name, label, values, others in (
        ("decisions", "reason", VALUES["reason"], {}),
        ("scales", "direction", VALUES["direction"], workqueue),
        ("scale_down_victims", "state", VALUES["state"], workqueue),
        ("api_writes", "verb", VALUES["verb"], {}),
        ("broker_errors", "kind", set(BROKER_KINDS), {"broker": ADDRESS.place}),
        ("cluster_errors", "kind", set(CLUSTER_KINDS), {}),
        ("loop_failures", "loop", set(LOOP_KINDS), {}),
    ):
        for value in values:
            assert operator.number(f"{name}_total", **others, **{label: value}) == 0, (name, value)


def test_every_kind_of_error_has_its_counter() -> None:
    assert set(BROKER_KINDS) == kinds(errors, BrokerError) | kinds(management_api, ManagementError)
    assert set(CLUSTER_KINDS) == kinds(port, ClusterError)


async def test_a_deleted_workqueue_leaves_no_series() -> None:
    operator = await scraped()
    (tracked,) = operator.store
    operator.store.forget_workqueue(tracked.key)
    left = [sample for family in operator.registry.collect() for sample in family.samples]
    assert not [sample for sample in left if {"workqueue", "broker"} & sample.labels.keys()]


async def test_the_scales_and_who_left_are_counted_for_their_workqueue() -> None:
    operator = await scraped()
    workqueue = {"namespace": WORKQUEUE.namespace, "workqueue": WORKQUEUE.name}
    assert operator.number("scales_total", **workqueue, direction="up") == 1
    assert operator.number("scales_total", **workqueue, direction="down") == 1
    assert operator.number("scale_down_victims_total", **workqueue, state="idle") == 6
    (last,) = samples_of(operator, "last_scale_timestamp_seconds")
    assert last["reason"] == Reason.DRAINED


async def test_a_workqueue_made_again_counts_from_zero() -> None:
    operator = await scraped()
    (tracked,) = operator.store
    operator.store.forget_workqueue(tracked.key)
    operator.add()
    workqueue = {"namespace": WORKQUEUE.namespace, "workqueue": WORKQUEUE.name}
    assert operator.number("scales_total", **workqueue, direction="up") == 0
    assert samples_of(operator, "last_scale_timestamp_seconds") == []


async def test_only_the_reason_and_the_conditions_in_force_have_a_series() -> None:
    operator = await scraped()
    (tracked,) = operator.store
    for reading in (Counts(0, 6), Unknown("Unavailable", "the broker is away"), Counts(30, 6)):
        await operator.after(1, tracked, reading)
        assert [one["reason"] for one in samples_of(operator, "decision_reason")] == [
            operator.status()["lastDecision"]["reason"]
        ]
        written = {(one["type"], one["status"], one["reason"]) for one in operator.status()["conditions"]}
        shown = [(one["type"], one["status"], one["reason"]) for one in samples_of(operator, "condition")]
        assert len(shown) == len(set(shown))
        assert set(shown) == written


async def test_each_metric_of_the_page_is_made_when_it_is_asked_for() -> None:
    """So that the event loop has a turn after each; made at once for thousands of WorkQueues, they stop it."""
    operator = await scraped()
    (tracked,) = operator.store
    families = iter(WorkQueueCollector(operator.store, operator.clock.monotonic).collect())
    assert next(families).samples
    tracked.memory.reported.conditions = []
    made = {family.name: family.samples for family in families}
    assert made[f"{PREFIX}decision_reason"]
    assert made[f"{PREFIX}condition"] == []


async def test_conditions_are_those_of_the_last_pass_also_while_the_status_may_not_be_written() -> None:
    operator = await scraped()
    (tracked,) = operator.store
    operator.cluster.failures = [port.Forbidden("workqueues/status: patch is forbidden") for _ in range(50)]
    await operator.after(2, tracked, Unknown("Unavailable", "the broker is away"))
    (observed,) = (one for one in samples_of(operator, "condition") if one["type"] == conditions.QUEUE_OBSERVED)
    assert (observed["status"], observed["reason"]) == ("False", "Unavailable")
    assert operator.condition(conditions.QUEUE_OBSERVED)["status"] == "True"


async def test_what_is_not_known_has_no_series() -> None:
    operator = await scraped()
    (tracked,) = operator.store
    tracked.last.reading = Unknown("Unavailable", "the broker is away")
    operator.clock.advance(max(STALE_SECONDS, dead_letters.STALE_SECONDS) + 1)
    for name in (
        "messages_ready",
        "messages_unacknowledged",
        "consumers",
        "oldest_message_age_seconds",
        "dead_letters",
    ):
        assert operator.number(name) is None, name
    for name in ("published", "acked", "redelivered"):
        assert operator.number(f"messages_{name}_total") is None, name
    assert operator.number("queue_observed") == 0


async def test_totals_of_the_broker_are_absent_without_a_management_api() -> None:
    operator = Operator()
    await operator.after(1, operator.add(), Counts(30, 0))
    assert operator.number("messages_ready") == 30
    assert samples_of(operator, "messages_published_total") == []


async def test_totals_start_again_after_a_restart_of_the_broker() -> None:
    operator = await scraped()
    (tracked,) = operator.store
    assert operator.number("messages_acked_total") == 30
    operator.measured(tracked, published=3, acked=1, redelivered=0, in_progress=0)
    assert operator.number("messages_acked_total") == 1
    assert operator.number("messages_published_total") == 3


async def test_two_workqueues_on_one_deployment_count_its_workers_once() -> None:
    operator = Operator(replicas_at_start=3)
    for tracked in (operator.add(), operator.add(body("younger", created="2026-02-02T00:00:00Z"))):
        await operator.after(1, tracked, Counts(15, 3))
    for name in ("replicas", "ready_replicas"):
        assert [one["workqueue"] for one in samples_of(operator, name)] == [WORKQUEUE.name]


def test_a_spec_that_cannot_be_used_has_no_bounds_and_no_info() -> None:
    operator = Operator()
    operator.add(queue={"type": "Stream"})
    for name in ("workqueue_info", "min_replicas", "max_replicas"):
        assert samples_of(operator, name) == []


def test_the_bounds_of_the_spec() -> None:
    operator = Operator()
    operator.add(scaling={"minReplicas": 0, "maxReplicas": 7})
    assert (operator.number("min_replicas"), operator.number("max_replicas")) == (0, 7)


def test_errors_are_counted_by_broker_without_its_login() -> None:
    operator = Operator()
    tracked = operator.add()
    operator.store.set_address(tracked, ADDRESS)
    operator.store.count_broker_error(ADDRESS, "unavailable")
    page = generate_latest(operator.registry).decode()
    assert 'workqueue_operator_broker_errors_total{broker="rabbitmq:5672/%2F",kind="unavailable"} 1.0' in page
    assert "team-user" not in page
    assert "s3cret" not in page


def test_a_broker_that_no_workqueue_uses_has_no_series_and_is_forgotten() -> None:
    operator = Operator()
    tracked = operator.add()
    for number in range(100):
        address = replace(ADDRESS, hosts=((f"rabbitmq-{number}", 5672),))
        operator.store.set_address(tracked, address)
        operator.store.count_broker_error(address, "unavailable")
    assert {one["broker"] for one in samples_of(operator, "broker_errors_total")} == {"rabbitmq-99:5672/%2F"}
    operator.store.set_address(tracked, replace(ADDRESS, hosts=(("rabbitmq-0", 5672),)))
    assert operator.store.broker_errors() == {"rabbitmq-0:5672/%2F": {}}


async def test_no_series_for_the_time_that_a_counter_was_made() -> None:
    operator = await scraped()
    assert b"_created" not in generate_latest(operator.registry)


def samples_of(operator: Operator, name: str) -> list[dict[str, str]]:
    """The labels of each sample of a metric."""
    samples = (sample for family in operator.registry.collect() for sample in family.samples)
    return [dict(sample.labels) for sample in samples if sample.name == PREFIX + name]
