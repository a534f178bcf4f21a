"""The dashboards as they lie in the chart: what a Grafana needs of them, and what a reader does."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
from workqueue_operator.scaling.decision import Reason

from dev.dashboards.names import OF_THE_CLUSTER, known
from dev.dashboards.queries import WINDOWS, filled, reads, variables
from dev.dashboards.reasons import colours

FOLDER = Path(__file__).parents[3] / "charts" / "workqueue-operator" / "dashboards"
DASHBOARDS: dict[str, Any] = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
#: Those that no Grafana from 10 to 13 lacks; "graph" went with 12.
TYPES = {"row", "stat", "table", "timeseries", "state-timeline", "heatmap"}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
#: Every program that a cluster scrapes has these; what they mean is the user's.
FOREIGN_MATCHERS = {"job", "instance", "cluster"}
#: The metrics of client-go's workqueue package, whose prefix is ours too.
CLIENT_GO = re.compile(
    r"workqueue_(depth|adds|queue_duration|work_duration|retries|unfinished_work|longest_running)\w*|__name__"
)
#: Windows that a query may name itself; all others are Grafana's.
FIXED_WINDOWS = {"5m", "1h", "1d"}

Panel = dict[str, Any]


def panels(dashboard: Any) -> Iterator[Panel]:
    """All panels, those of collapsed rows too, without the rows."""
    for panel in dashboard["panels"]:
        yield from (panel.get("panels", []) if panel["type"] == "row" else [panel])


def everywhere() -> list[Any]:
    return [pytest.param(one, id=f"{uid}: {one['title']}") for uid, each in DASHBOARDS.items() for one in panels(each)]


def over_time() -> list[Any]:
    return [
        pytest.param(panel, one, id=f"{uid}: {panel['title']} {one['refId']}")
        for uid, each in DASHBOARDS.items()
        for panel in panels(each)
        for one in panel["targets"]
        if one["range"]
    ]


def queries(dashboard: Any) -> list[str]:
    """Of panels, annotations and variables, the last as the query that lists their label."""
    asked = [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]
    asked += [one["target"]["expr"] for one in dashboard["annotations"]["list"]]
    listed = [one["query"]["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
    return asked + [re.sub(r"^label_values\((.*), (\w+)\)$", r"count by (\2) (\1)", one) for one in listed]


def every_query() -> list[str]:
    return sorted({query for dashboard in DASHBOARDS.values() for query in queries(dashboard)})


@pytest.fixture(params=DASHBOARDS.values(), ids=list(DASHBOARDS))
def dashboard(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_there_are_four_and_their_addresses_stay() -> None:
    addresses = {name: one["uid"] for name, one in DASHBOARDS.items()}
    wanted = ("workqueue-fleet", "workqueue-operator", "workqueue-queue", "workqueue-workers")
    assert addresses == {name: name for name in wanted}


def test_grafana_takes_it_as_it_is(dashboard: Any) -> None:
    assert not {"__inputs", "__requires", "id"} & set(dashboard)
    assert dashboard["schemaVersion"] == 42
    assert dashboard["editable"] is False
    assert dashboard["tags"] == ["workqueue"]
    assert dashboard["description"]


def test_the_only_data_source_is_the_one_chosen_above(dashboard: Any) -> None:
    (source,) = [one for one in dashboard["templating"]["list"] if one["type"] == "datasource"]
    assert (source["name"], source["label"], source["query"]) == ("datasource", "Data source", "prometheus")
    used = [one["datasource"] for one in [*panels(dashboard), *dashboard["annotations"]["list"]]]
    used += [one["datasource"] for one in dashboard["templating"]["list"] if one["type"] != "datasource"]
    assert all(one == SOURCE for one in used)
    (filters,) = [one for one in dashboard["templating"]["list"] if one["type"] == "adhoc"]
    assert filters["name"] == "filters"


def test_ids_are_unique(dashboard: Any) -> None:
    rows = [one for one in dashboard["panels"] if one["type"] == "row"]
    numbers = Counter(one["id"] for one in [*rows, *panels(dashboard)])
    assert 0 not in numbers
    assert set(numbers.values()) == {1}


def test_panels_lie_within_24_columns_and_not_on_each_other(dashboard: Any) -> None:
    taken: set[tuple[int, int]] = set()
    rows = [one for one in dashboard["panels"] if one["type"] == "row"]
    for panel in [*rows, *panels(dashboard)]:
        place = panel["gridPos"]
        assert place["w"] > 0
        assert place["h"] > 0
        assert place["x"] + place["w"] <= 24, panel["title"]
        columns, lines = (range(place[start], place[start] + place[size]) for start, size in ("xw", "yh"))
        cells = set(product(columns, lines))
        assert not cells & taken, panel["title"]
        taken |= cells


def test_titles_are_unique_within_a_row_of_panels(dashboard: Any) -> None:
    for row in dashboard["panels"]:
        titles = Counter(one["title"] for one in row.get("panels", []))
        assert set(titles.values()) <= {1}


@pytest.mark.parametrize("panel", everywhere())
def test_a_panel_says_what_it_answers_and_what_its_emptiness_means(panel: Panel) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["type"] in TYPES
    assert panel["title"][0].isupper()
    assert re.search(r"\?( |$)", panel["description"]), "the question that it answers"
    assert defaults["unit"]
    assert len(defaults["noValue"]) >= len("No error")
    assert defaults["noValue"] not in ("No data", "N/A", "0")
    assert panel["targets"]


@pytest.mark.parametrize("panel", everywhere())
def test_each_target_is_named_and_asks_the_chosen_source(panel: Panel) -> None:
    assert all(one["datasource"] == SOURCE for one in panel["targets"])
    names = Counter(one["refId"] for one in panel["targets"])
    assert all(names)
    assert set(names.values()) == {1}
    legends = [one.get("legendFormat", one["refId"]) for one in panel["targets"]]
    assert len(set(legends)) == len(legends), "two lines with one name"


@pytest.mark.parametrize("panel", [one for one in everywhere() if one.values[0]["type"] in ("stat", "table")])
def test_a_number_of_now_is_never_one_of_a_series_that_is_gone(panel: Panel) -> None:
    assert all((one["instant"], one["range"]) == (True, False) for one in panel["targets"])


@pytest.mark.parametrize("panel", [one for one in everywhere() if one.values[0]["type"] == "stat"])
def test_what_is_unknown_is_never_green(panel: Panel) -> None:
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert steps[0] == {"color": "text", "value": None}
    assert panel["options"]["reduceOptions"]["calcs"] == ["lastNotNull"]


def test_thresholds_mean_something(dashboard: Any) -> None:
    """Grafana's own default, red from 80 on, means nothing; steps go up and change the colour."""
    for panel in panels(dashboard):
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]
        values, named = [one["value"] for one in steps], [one["color"] for one in steps]
        assert values == sorted(set(values)), panel["title"]
        assert 80 not in values
        assert len(set(named)) == len(named)


def test_no_threshold_is_drawn_as_a_line_at_zero(dashboard: Any) -> None:
    """It would look like a series that is 0."""
    for panel in panels(dashboard):
        if panel["type"] == "timeseries":
            steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]
            assert all(one["value"] > 0 for one in steps), panel["title"]


def test_a_part_that_is_zero_does_not_colour_the_part_below_it(dashboard: Any) -> None:
    """Stacked, its line lies on the other's: a retry looked like a shutdown."""
    for panel in panels(dashboard):
        custom = panel["fieldConfig"]["defaults"].get("custom", {})
        if custom.get("stacking", {}).get("mode") == "normal" and custom.get("drawStyle") != "bars":
            assert custom["lineWidth"] == 0, panel["title"]
            assert custom["fillOpacity"] >= 50, panel["title"]


def test_a_title_is_not_cut_off_on_a_small_screen(dashboard: Any) -> None:
    """At 1,400 pixels a column has room for five letters, and the sign of the description takes the place of three."""
    for panel in panels(dashboard):
        assert len(panel["title"]) <= 5 * panel["gridPos"]["w"] - 3, panel["title"]


def kept(node: Any) -> set[str] | None:
    """The labels that a query's answer has; None: those of its series, such as the operator's pod."""
    match node:
        case promql.AggregateExpr():
            return set(node.modifier.labels) if node.modifier else set()
        case promql.BinaryExpr():
            return kept(node.rhs) if isinstance(node.lhs, promql.NumberLiteral) else kept(node.lhs)
        case promql.Call(func=function) if function.name == "histogram_quantile":
            counted = kept(node.args[1])
            return counted and counted - {"le"}
        case promql.Call(func=function) if function.name == "label_replace":
            return kept(node.args[0])
        case promql.ParenExpr():
            return kept(node.expr)
    return None


@pytest.mark.parametrize(("panel", "target"), over_time())
def test_a_restart_of_the_operator_gives_no_second_line_of_one_name(panel: Panel, target: Any) -> None:
    """Its series have another pod and instance then; the legend names each label that the answer keeps."""
    labels = kept(promql.parse(filled(target["expr"])))
    assert labels is not None, "made of no aggregation"
    assert labels == set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])), panel["title"]


@pytest.mark.parametrize("query", every_query())
def test_a_query_reads_what_the_code_exports(query: str) -> None:
    """No series is missing, and each has the labels that the query compares, groups or joins by."""
    metrics = known()
    assert reads(query)
    for read in reads(query):
        assert read.labels <= metrics[read.metric], read


@pytest.mark.parametrize("query", every_query())
def test_a_query_does_not_depend_on_how_it_is_scraped(query: str) -> None:
    assert not any(read.matched & FOREIGN_MATCHERS for read in reads(query))
    assert not CLIENT_GO.search(query)


@pytest.mark.parametrize("query", every_query())
def test_a_counter_is_looked_at_over_a_window_and_a_gauge_is_not_rated(query: str) -> None:
    for read in reads(query):
        if read.metric.endswith(("_total", "_bucket")):
            assert read.windowed, read
    assert not re.search(r"(rate|increase)\((?!\w+_(total|bucket)\b)", query)


@pytest.mark.parametrize("query", every_query())
def test_windows_are_grafanas_or_few(query: str) -> None:
    windows = set(re.findall(r"\[([^\]:]+)", query))
    assert {one for one in windows if not one.startswith("$__")} <= FIXED_WINDOWS


def test_variables_are_those_that_are_chosen_above(dashboard: Any) -> None:
    chosen = {one["name"] for one in dashboard["templating"]["list"]}
    used = set().union(*map(variables, queries(dashboard))) - set(WINDOWS)
    assert used <= chosen
    assert chosen - used <= {"datasource", "filters"}, "a choice that changes nothing"
    lists = [one for one in dashboard["templating"]["list"] if one["type"] == "query"]
    assert all(one["refresh"] == 2 for one in lists), "read again when the time changes"


def test_a_row_of_the_fleet_opens_its_queue() -> None:
    (table,) = [one for one in panels(DASHBOARDS["workqueue-fleet"]) if one["type"] == "table"]
    (link,) = table["fieldConfig"]["defaults"]["links"]
    path, _, parameters = link["url"].partition("?")
    assert path == "/d/" + DASHBOARDS["workqueue-queue"]["uid"]
    choices = {one["name"] for one in DASHBOARDS["workqueue-queue"]["templating"]["list"]}
    assert set(re.findall(r"var-(\w+)=", parameters)) <= choices
    renamed = table["transformations"][1]["options"]["renameByName"]
    for column in re.findall(r"__data\.fields\.(\w+)", parameters):
        assert column not in renamed, "a link finds a column by its name"
        assert all(column in target["expr"].partition(")")[0] for target in table["targets"])
    assert "${datasource:queryparam}" in parameters
    assert "${__url_time_range}" in parameters


def test_overrides_and_columns_are_those_of_columns_that_there_are() -> None:
    (table,) = [one for one in panels(DASHBOARDS["workqueue-fleet"]) if one["type"] == "table"]
    organized = table["transformations"][1]["options"]
    values = {f"Value #{one['refId']}" for one in table["targets"]}
    assert values <= {*organized["renameByName"], *organized["excludeByName"]}
    shown = set(organized["renameByName"].values())
    overrides = table["fieldConfig"]["overrides"]
    assert {one["matcher"]["options"] for one in overrides} <= shown
    widths = {one["matcher"]["options"]: one["properties"][0]["value"] for one in overrides if is_width(one)}
    assert set(widths) == shown, "a column without a width takes that of the names"
    assert sum(widths.values()) <= 1_000, "on a small screen the last columns were out of sight"


def is_width(override: Any) -> bool:
    return bool(override["properties"][0]["id"] == "custom.width")


def test_each_reason_has_its_colour_wherever_reasons_are_shown() -> None:
    wanted = {str(reason) for reason in Reason}
    assert set(colours()) == wanted
    queue = list(panels(DASHBOARDS["workqueue-queue"]))
    (stat,) = [one for one in queue if one["title"] == "Reason"]
    (mapping,) = stat["fieldConfig"]["defaults"]["mappings"]
    assert {word: one["color"] for word, one in mapping["options"].items()} == colours()
    (timeline,) = [one for one in queue if one["type"] == "state-timeline"]
    overrides = timeline["fieldConfig"]["overrides"]
    assert {one["matcher"]["options"]: one["properties"][0]["value"]["fixedColor"] for one in overrides} == colours()


def test_annotations_are_the_times_that_metrics_hold_in_milliseconds() -> None:
    marks = {one["name"]: one for one in DASHBOARDS["workqueue-queue"]["annotations"]["list"]}
    assert set(marks) == {"Scales", "Operator started"}
    for mark in marks.values():
        assert mark["useValueForTime"] is True
        assert mark["enable"] is True
        assert " * 1000" in mark["target"]["expr"]


def test_links_lead_to_the_other_dashboards_and_to_those_of_rabbitmq(dashboard: Any) -> None:
    tags = [one["tags"] for one in dashboard["links"]]
    assert tags == [["workqueue"], ["rabbitmq-prometheus"]]
    assert all(one["type"] == "dashboards" and one["keepTime"] for one in dashboard["links"])


def test_the_metrics_of_a_cluster_are_no_condition() -> None:
    """A user without kube-state-metrics loses two panels of a collapsed row, and no other."""
    foreign = [
        (panel["title"], panel["fieldConfig"]["defaults"]["noValue"])
        for dashboard in DASHBOARDS.values()
        for panel in panels(dashboard)
        for target in panel["targets"]
        if any(read.metric in OF_THE_CLUSTER for read in reads(target["expr"]))
    ]
    assert len(set(foreign)) == 2
    assert all("kube-state-metrics" in empty for _, empty in foreign)
