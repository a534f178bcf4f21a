"""The worker's metrics are those of docs/worker.md, and its busy time grows while tasks run."""

import re
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from workqueue_worker.busy_time import BusyTime
from workqueue_worker.consumer import Consumer
from workqueue_worker.copy_publisher import CopyPublisher
from workqueue_worker.delivery import Delivery
from workqueue_worker.finished_tasks import FinishedTasks
from workqueue_worker.handlers import PythonHandler
from workqueue_worker.health import Health
from workqueue_worker.holding import Holding
from workqueue_worker.in_hand import InHand
from workqueue_worker.metrics import WorkerMetrics
from workqueue_worker.runner import Runner
from workqueue_worker.settings import Settings, read_settings
from workqueue_worker.settlement import DeadLetterReason, Done, RequeueCause
from workqueue_worker.task import Task

from tests.support.fakes import ManualClock

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


def test_busy_time_is_the_sum_over_all_tasks_those_that_still_run_included() -> None:
    clock = ManualClock()
    busy = BusyTime(clock.monotonic)
    clock.advance(10)
    assert busy.seconds == 0
    busy.begin()
    clock.advance(100)
    assert busy.seconds == 100
    busy.begin()
    clock.advance(10)
    assert busy.seconds == 120
    busy.end()
    clock.advance(1)
    busy.end()
    clock.advance(1000)
    assert busy.seconds == 121


@given(st.lists(st.tuples(st.floats(0, 1e4), st.booleans())))
def test_busy_time_never_shrinks_and_grows_no_faster_than_tasks_run(steps: list[tuple[float, bool]]) -> None:
    clock = ManualClock()
    busy = BusyTime(clock.monotonic)
    in_hand, seen, most = 0, [0.0], 0.0
    for seconds, begins in steps:
        most += in_hand * seconds
        clock.advance(seconds)
        if begins:
            busy.begin()
            in_hand += 1
        elif in_hand:
            busy.end()
            in_hand -= 1
        seen.append(busy.seconds)
    assert all(before <= after for before, after in pairwise(seen))
    assert seen[-1] == pytest.approx(most)


class Confirming:
    """A publishing connection that confirms everything."""

    def ensure(self, _queue: object) -> None: ...

    def publish(self, _copy: object, _delivery: Delivery) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("fails", [False, True])
def test_a_worker_is_busy_from_the_start_of_a_handler_to_its_end_and_not_before_a_retry(fails: bool) -> None:
    clock = ManualClock()
    metrics, health = WorkerMetrics("q", monotonic=clock.monotonic), Health()
    seen: list[float | None] = []

    def busy() -> float | None:
        return metrics.registry.get_sample_value("workqueue_worker_busy_seconds_total", {"queue": "q"})

    def handle(_body: bytes, _task: Task) -> None:
        clock.advance(30)
        seen.append(busy())
        clock.advance(5)
        if fails:
            raise ValueError

    def never(*_: object) -> Confirming:
        raise AssertionError("the runner opens no connection for tasks")

    finished = FinishedTasks()
    consumer = Consumer(never, metrics, health, finished, 1)  # type: ignore[arg-type]
    settings = replace(read_settings({}, (), {}), retry_max_delay=0.01)
    holding = Holding(consumer, CopyPublisher(Confirming, None), health)
    runner = Runner(settings, "w", PythonHandler(handle), holding, metrics, finished)
    runner.run(InHand(Delivery(1, 1, False, b"", {}, "m", None, None, None)))
    clock.advance(1000)
    assert (seen, busy()) == ([30], 35)


def test_each_ending_of_a_delivery_is_counted_in_a_series_of_its_own() -> None:
    metrics = WorkerMetrics("q")
    endings = [*Done, *RequeueCause, *DeadLetterReason]
    assert set(metrics.settled) == set(endings)
    assert len({id(counter) for counter in metrics.settled.values()}) == len(endings)
