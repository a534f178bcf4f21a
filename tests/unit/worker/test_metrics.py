"""The worker's metrics are those of docs/worker.md, and its busy time grows while tasks run."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from workqueue_worker.metrics import WorkerMetrics
from workqueue_worker.settings import Settings, read_settings
from workqueue_worker.settlement import DeadLetterReason, Done, RequeueCause

PAGE = Path(__file__).parents[3] / "docs" / "worker.md"
#: prometheus_client's own, of the process.
PROCESS = "process_"


def documented() -> dict[str, set[str]]:
    """The labels of each metric in the page's table; all have `queue`."""
    table = PAGE.read_text().partition("| metric, all with label `queue` |")[2].partition("\n\n")[0]
    named = [re.findall(r"`(workqueue_\w+)(?:\{([\w,]+)\})?`", row.split("|")[1]) for row in table.splitlines()[2:]]
    return {name: {"queue", *labels.split(",")} - {""} for row in named for name, labels in row}


def test_each_metric_is_documented_with_its_labels_and_no_other_is() -> None:
    found = {}
    for family in text_string_to_metric_families(WorkerMetrics("q").page(b"").decode()):
        if not family.name.startswith(PROCESS):
            name = family.name + ("_total" if family.type == "counter" else "")
            found[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    assert found == documented()


def test_a_worker_says_what_it_is_and_how_many_tasks_it_works_on_at_a_time() -> None:
    registry = WorkerMetrics("orders", slots=4, handler="shop:handle").registry
    info = {"queue": "orders", "version": version("workqueue"), "handler": "shop:handle"}
    assert registry.get_sample_value("workqueue_worker_info", info) == 1
    assert registry.get_sample_value("workqueue_worker_slots", {"queue": "orders"}) == 4


def settings(*, handler: str | None = None, command: tuple[str, ...] = ()) -> Settings:
    return read_settings({"handler": handler}, list(command), {})


@pytest.mark.parametrize(
    ("chosen", "name"),
    [
        (settings(), "tutorial"),
        (settings(handler="shop:handle"), "shop:handle"),
        (settings(command=("/usr/bin/ffmpeg", "--password", "secret")), "ffmpeg"),
    ],
)
def test_the_name_of_a_handler_has_no_argument_of_a_command(chosen: Settings, name: str) -> None:
    assert chosen.handler_name == name


def test_each_ending_of_a_delivery_is_counted_in_a_series_of_its_own() -> None:
    metrics = WorkerMetrics("q")
    endings = [*Done, *RequeueCause, *DeadLetterReason]
    assert set(metrics.settled) == set(endings)
    assert len({id(counter) for counter in metrics.settled.values()}) == len(endings)
