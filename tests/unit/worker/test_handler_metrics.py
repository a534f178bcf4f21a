"""A handler's own metrics on the worker's page: all that are sound are there, and none of them breaks the page."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from workqueue_worker.handler_metrics import HandlerMetrics
from workqueue_worker.metrics import WorkerMetrics

from tests.support.waiting import wait_until


class Collector:
    def __init__(self, *metrics: Metric, raises: BaseException | None = None) -> None:
        self._metrics = metrics
        self._raises = raises

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics
        if self._raises:
            raise self._raises


class Hanging(threading.Event):
    """A collector that waits until it is set."""

    def collect(self) -> Iterator[Metric]:
        self.wait()
        yield GaugeMetricFamily("late", "Late.", value=1)

    def describe(self) -> list[Metric]:
        return []


def page(registry: CollectorRegistry, ours: CollectorRegistry | None = None) -> dict[str, float]:
    """The samples by name; a page that a parser refuses, or with a name twice, fails."""
    text = HandlerMetrics(registry).page(list((ours or CollectorRegistry()).collect())).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert len({sample.name for sample in samples}) == len(samples)
    return {sample.name: sample.value for sample in samples}


def test_the_handlers_series_are_on_the_page_without_created_ones() -> None:
    registry = CollectorRegistry()
    Counter("orders", "Orders.", registry=registry).inc(3)
    Gauge("basket_size", "Size.", registry=registry).set(7)
    assert page(registry) == {"orders_total": 3, "basket_size": 7}


@pytest.mark.parametrize(
    "name", ["workqueue_tasks_acked", "workqueue_tasks_acked_total", "workqueue_tasks_in_progress"]
)
def test_a_name_of_the_workers_stays_the_workers(name: str) -> None:
    registry = CollectorRegistry()
    registry.register(
        Collector(GaugeMetricFamily(name, "Theirs.", value=99), GaugeMetricFamily("theirs", "x", value=1))
    )
    assert page(registry, WorkerMetrics("q").registry) == {"theirs": 1}


def test_the_same_name_of_two_collectors_is_there_once() -> None:
    registry = CollectorRegistry()
    for value in (1, 2):
        registry.register(Collector(GaugeMetricFamily("same", "Same.", value=value)))
    assert page(registry) == {"same": 1}


class _Described(Collector):
    """Has nothing to say when it is registered."""

    def describe(self) -> list[Metric]:
        return []


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), RecursionError()])
def test_a_collector_that_raises_costs_only_what_comes_after_it(error: BaseException) -> None:
    registry = CollectorRegistry()
    registry.register(_Described(GaugeMetricFamily("before", "x", value=1)))
    registry.register(_Described(raises=error))
    assert page(registry) == {"before": 1}


def test_what_is_no_metric_is_left_out() -> None:
    registry = CollectorRegistry()
    bad = GaugeMetricFamily("bad", "x")
    bad.add_metric([], "no number")  # type: ignore[arg-type] # as a handler may do
    no_metric: Any = "no metric at all"
    registry.register(_Described(bad, no_metric, GaugeMetricFamily("good", "x", value=1)))
    assert page(registry) == {"good": 1}


def test_a_collector_that_hangs_is_not_waited_for_and_asked_once() -> None:
    registry = CollectorRegistry()
    registry.register(_Described(GaugeMetricFamily("before", "x", value=1)))
    hanging = Hanging()
    registry.register(hanging)
    metrics = HandlerMetrics(registry)
    readers = {thread for thread in threading.enumerate() if thread.name == "handler-metrics"}
    try:
        for _ in range(2):
            assert b"before 1.0" in metrics.page([])
        now = {thread for thread in threading.enumerate() if thread.name == "handler-metrics"}
        assert len(now - readers) == 1
    finally:
        hanging.set()
    wait_until(lambda: b"late 1.0" in metrics.page([]), 30, "it is asked again")


def test_a_collector_that_hangs_is_waited_for_once_and_not_for_each_page() -> None:
    """Pages are built one after another, and the operator waits a second for the one that it asked for."""
    hanging = Hanging()
    registry = CollectorRegistry()
    registry.register(hanging)
    metrics = HandlerMetrics(registry)
    pages = threading.Thread(target=lambda: [metrics.page([]) for _ in range(200)], daemon=True)
    pages.start()
    try:
        wait_until(lambda: not pages.is_alive(), 60, "200 pages are there, far sooner than with a wait for each")
    finally:
        hanging.set()


def test_a_workers_page_has_no_series_of_python_itself_and_changes_no_switch_of_the_library(tmp_path: Path) -> None:
    script = """
from prometheus_client import Counter, REGISTRY, generate_latest
from workqueue_worker.metrics import WorkerMetrics
Counter("orders", "Orders.")
metrics = WorkerMetrics("q")
page = metrics.page(metrics.of_the_handler()).decode()
assert "orders_total 0.0" in page
assert 'workqueue_tasks_acked_total{queue="q"} 0.0' in page
assert page.count("\\nprocess_cpu_seconds_total ") == 1
assert "python_" not in page and "_created" not in page, page
assert "orders_created" in generate_latest(REGISTRY).decode()
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
