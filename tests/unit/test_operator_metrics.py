"""The operator's metrics are those of docs/operations.md: no name, label or value more or less."""

import re
from pathlib import Path
from types import ModuleType

from passes import Operator
from workqueue_broker import errors
from workqueue_broker.errors import BrokerError
from workqueue_operator import cluster, management
from workqueue_operator.cluster import ClusterError
from workqueue_operator.demand import Counts
from workqueue_operator.management import ManagementError
from workqueue_operator.metrics import BROKER_KINDS, CLUSTER_KINDS, LOOP_KINDS
from workqueue_operator.scaling import Reason
from workqueue_operator.victims import State

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
PREFIX = "workqueue_operator_"
#: Of each label, the values there may be; those of a WorkQueue's gauges are its own name.
VALUES = {
    "reason": set(map(str, Reason)),
    "state": set(map(str, State)),
    "verb": {"scale", "status", "event", "mark"},
    "namespace": {"team"},
    "workqueue": {"thumbnails"},
    "loop": set(LOOP_KINDS),
}


def documented() -> dict[str, set[str]]:
    """The labels of each metric in the page's table."""
    table = PAGE.read_text().partition("## Metrics of the operator")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(workqueue_operator_\w+?)(?:\{([\w,]+)\})?` \|", table, re.MULTILINE)
    return {name: set(labels.split(",")) - {""} for name, labels in rows}


async def scraped() -> Operator:
    """An operator that has grown and shrunk a Deployment, and been refused."""
    operator = Operator()
    tracked = operator.add()
    await operator.after(1, tracked, Counts(30, 0))
    await operator.after(70, tracked, Counts(0, 6))
    await operator.applier.wait()
    return operator


def kinds(module: ModuleType, root: type[Exception]) -> set[str]:
    """The kinds of the module's own tree of errors."""
    return {one.kind for one in vars(module).values() if isinstance(one, type) and issubclass(one, root)}


async def test_each_metric_is_documented_with_its_labels_and_no_other_is() -> None:
    operator = await scraped()
    found: dict[str, set[str]] = {}
    for family in operator.registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
        assert samples, f"{name} has no sample: a label's values must be there from the start"
        found[name] = {label for sample in samples for label in sample.labels} - {"le"}
    assert found == documented()


async def test_label_values_are_bounded() -> None:
    operator = await scraped()
    for family in operator.registry.collect():
        allowed = {
            **VALUES,
            "kind": set(BROKER_KINDS if family.name == f"{PREFIX}broker_errors" else CLUSTER_KINDS),
        }
        for sample in family.samples:
            for label, value in sample.labels.items():
                assert label == "le" or value in allowed[label], sample


async def test_each_value_of_a_counters_label_is_there_from_the_start() -> None:
    registry = Operator().registry
    for name, label, values in (
        ("decisions", "reason", VALUES["reason"]),
        ("scale_down_victims", "state", VALUES["state"]),
        ("api_writes", "verb", VALUES["verb"]),
        ("broker_errors", "kind", set(BROKER_KINDS)),
        ("cluster_errors", "kind", set(CLUSTER_KINDS)),
        ("loop_failures", "loop", set(LOOP_KINDS)),
    ):
        for value in values:
            assert registry.get_sample_value(f"{PREFIX}{name}_total", {label: value}) == 0, (name, value)


def test_every_kind_of_error_has_its_counter() -> None:
    assert set(BROKER_KINDS) == kinds(errors, BrokerError) | kinds(management, ManagementError)
    assert set(CLUSTER_KINDS) == kinds(cluster, ClusterError)


async def test_a_deleted_workqueue_leaves_no_series() -> None:
    operator = await scraped()
    (tracked,) = operator.store
    operator.store.forget_workqueue(tracked.key)
    assert operator.number("messages_ready") is None
