"""What a query reads, and what the three parts export: by these a dashboard is held against the code."""

import re

import pytest

from dev.dashboards.checks import NotExported, check
from dev.dashboards.model import Dashboard, Row
from dev.dashboards.names import exported, known
from dev.dashboards.queries import Read, Unreadable, reads
from dev.dashboards.shapes import stat


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("sum(workqueue_operator_repplicas)", "Size: no part exports workqueue_operator_repplicas"),
        ("sum by (qeue) (workqueue_tasks_in_progress)", "Size: workqueue_tasks_in_progress has no label qeue"),
    ],
)
def test_what_no_part_exports_is_an_error_before_a_file_is_written(query: str, named: str) -> None:
    panel = stat("Size", "How many?", query, empty="unknown")
    with pytest.raises(NotExported, match=named):
        check(Dashboard("x", "X", "", (Row("Now", (panel,)),)), known())


@pytest.mark.parametrize("query", ["sum(", "rate(a_total)", "a[$unknown]"])
def test_what_is_no_promql_is_an_error_too(query: str) -> None:
    with pytest.raises(Unreadable, match=re.escape(query)):
        reads(query)


def test_what_is_known_comes_from_the_registries() -> None:
    """A counter by its series, a histogram by its buckets, and gauges of WorkQueues without one in the store."""
    metrics = exported()
    assert {"namespace", "workqueue"} <= metrics["workqueue_operator_messages_ready"]
    assert {"queue", "reason"} <= metrics["workqueue_tasks_failed_total"]
    assert {"queue", "le"} <= metrics["workqueue_task_wait_seconds_bucket"]
    assert "le" not in metrics["workqueue_task_wait_seconds_count"]
    assert "workqueue_task_wait_seconds" not in metrics
    assert "process_start_time_seconds" in metrics


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ('a{b="1"}', {Read("a", frozenset("b"), frozenset("b"))}),
        ("sum by (c) (rate(a_total[$__rate_interval]))", {Read("a_total", frozenset("c"), windowed=True)}),
        ("sum by (c) (max by (d) (a))", {Read("a", frozenset("d"))}),
        ("a and on (i) sum by (i) (b)", {Read("a", frozenset("i")), Read("b", frozenset("i"))}),
        ("sum by (c) (a / on (i) b)", {Read("a", frozenset("ci")), Read("b", frozenset("ci"))}),
        ("sum by (c) (a and on (i) b)", {Read("a", frozenset("ci")), Read("b", frozenset("i"))}),
        ('sum by (c) (label_replace(a, "c", "x", "", ""))', {Read("a")}),
        ("topk(3, max_over_time(a[$__range] @ end()))", {Read("a", windowed=True)}),
    ],
)
def test_what_a_query_reads(query: str, wanted: set[Read]) -> None:
    assert set(reads(query)) == wanted
