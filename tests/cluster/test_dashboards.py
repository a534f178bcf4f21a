"""The dashboards on real data: a real Prometheus scrapes operator, workers and broker of a run on the cluster."""

import dataclasses
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.dashboards.checks import expressions
from dev.dashboards.names import OF_THE_CLUSTER
from dev.dashboards.queries import Read, reads
from dev.prometheus import Programs
from dev.write_dashboards import DASHBOARDS
from tests.support.dashboard_data import Asking, Page, Series, scraped
from tests.support.waiting import wait_until
from tests.support.work import BROKER, METRICS_PORT, SERVED, SYSTEM, Work

#: By job.
PAGES = {"operator": Page(SYSTEM, 8080), "workers": Page(SERVED, METRICS_PORT), "broker": Page(BROKER, 15692)}
PANELS = [panel for dashboard in DASHBOARDS for panel in dashboard.panels()]
#: Others may need another program, or what this run has not.
CERTAIN = {read.metric for panel in PANELS for query in panel.needed() for read in reads(query.expr)}
ALL_READS = {read for dashboard in DASHBOARDS for _, expr in expressions(dashboard) for read in reads(expr)}


@pytest.fixture
def asking(work: Work, prometheus_programs: Programs, tmp_path: Path) -> Iterator[Asking]:
    """A run with a dead letter, which grows from one worker to several; scraped from before the first task on."""
    dataclasses.replace(work, queue_name=f"{work.queue}.dead").send(["Task that was given up"])
    work.install(scaling__minReplicas=1, scaling__scaleDown__stabilizationWindowSeconds=600)
    chosen = {
        "namespace": work.namespace,
        "workqueue": work.name,
        "queue": work.queue,
        "deployment": f"{work.name}-worker",
        "pod": ".*",
    }
    with scraped(prometheus_programs, tmp_path, work.proxy, PAGES) as server:
        asked = Asking(server, chosen, time.time())
        wait_until(lambda: jobs_up(asked) == set(PAGES), 60, "operator, worker and broker are scraped")
        work.send([f"Task {number}.." for number in range(24)])
        yield asked


def jobs_up(asking: Asking) -> set[str]:
    return {one["metric"]["job"] for one in asking.server.query("up == 1")}


@pytest.mark.timeout(400)
def test_each_query_answers_and_each_panel_has_data_or_says_why_it_may_have_none(asking: Asking) -> None:
    empty: set[str] = set()

    def filled() -> bool:
        """Once filled, a panel over time stays so; the numbers of now are those of the last look."""
        nonlocal empty
        empty = set().union(*map(asking.empty, DASHBOARDS))
        return not empty

    try:
        wait_until(filled, 150, "each panel has data")
    except AssertionError:
        assert empty == set(), "without data"
        raise
    assert problems_of_metrics(asking) == set()
    assert problems_of_legends(asking) == set()
    assert_choices(asking)
    assert_marks(asking)


def problems_of_metrics(asking: Asking) -> set[str]:
    """What a live scrape lacks of that which queries read: a series, or a label of one."""
    found = {read: asking.labels(read.metric) for read in ALL_READS if may_be_scraped(read)}
    missing = {read.metric for read, series in found.items() if not series and read.metric in CERTAIN}
    return missing | {str(read) for read, series in found.items() for one in series if not read.labels <= set(one)}


def may_be_scraped(read: Read) -> bool:
    return read.metric not in OF_THE_CLUSTER and not read.metric.startswith("workqueue_producer_")


def problems_of_legends(asking: Asking) -> set[str]:
    """Names of lines that would have a hole."""
    return {
        f"{panel.title}: {query.legend}"
        for panel in PANELS
        for query in panel.queries
        for series in asking.panel(panel, query)
        if not names(query.legend) <= set(series["metric"])
    }


def names(legend: str) -> set[str]:
    return set(re.findall(r"{{(\w+)}}", legend))


def assert_choices(asking: Asking) -> None:
    """Each variable offers what this run has."""
    for dashboard in DASHBOARDS:
        for variable in dashboard.variables:
            offered = {one.get(variable.label, "") for one in asking.labels(asking.expr(variable.metric))}
            chosen = asking.chosen[variable.name]
            assert any(re.fullmatch(chosen, one) for one in offered - {""}), (dashboard.title, variable.name)


def assert_marks(asking: Asking) -> None:
    """Annotations lie where something happened: scales within the run, the operator's start before now."""
    marks = {mark.name: mark.expr for dashboard in DASHBOARDS for mark in dashboard.annotations}
    scales, starts = (asking.over_time(marks[name]) for name in ("Scales", "Operator started"))
    assert "Backlog" in {one["metric"]["reason"] for one in scales}
    assert asking.started - 60 < max(seconds(scales)) <= time.time() + 1
    assert 0 < max(seconds(starts)) <= time.time() + 1


def seconds(marks: list[Series]) -> list[float]:
    """The times that Grafana would read from milliseconds."""
    return [float(value) / 1000 for one in marks for _, value in one["values"]]
