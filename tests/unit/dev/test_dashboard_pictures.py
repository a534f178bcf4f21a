"""The pictures in the docs: none is older than its dashboard, and each can be drawn again without a cluster."""

import json
from pathlib import Path
from typing import Any

import pytest

from dev import draw_dashboards
from dev.dashboards.answers import Question, Span, answers, choices, questions, written

ROOT = Path(__file__).parents[3]
DASHBOARDS: dict[str, Any] = {
    path.stem: json.loads(path.read_text()) for path in sorted(draw_dashboards.JSON.glob("*.json"))
}
LARGEST_BYTES = 300_000
SPAN = Span(start=1_000, count=3)


def test_each_picture_was_drawn_of_the_dashboard_as_it_is() -> None:
    lines = draw_dashboards.SUMS.read_text().splitlines()
    drawn = {uid: sum_ for sum_, uid in (line.split() for line in lines)}
    now = {uid: draw_dashboards.sum_of(dashboard) for uid, dashboard in DASHBOARDS.items()}
    assert drawn == now, "a picture is older than its dashboard: run `make dashboards-pictures`"


def test_a_picture_is_older_after_a_changed_title_and_not_after_a_changed_description() -> None:
    def sum_of(title: str, description: str) -> str:
        return draw_dashboards.sum_of({"panels": [{"title": title, "description": description}]})

    assert sum_of("Waiting", "How many?") == sum_of("Waiting", "How many tasks wait?")
    assert sum_of("Waiting", "How many?") != sum_of("Waiting messages", "How many?")


@pytest.mark.parametrize("uid", list(DASHBOARDS))
@pytest.mark.parametrize("theme", draw_dashboards.THEMES)
def test_a_picture_is_there_small_and_shown(uid: str, theme: str) -> None:
    picture = draw_dashboards.PICTURES / f"{uid}-{theme}.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size <= LARGEST_BYTES
    assert f"dashboards/{picture.name}" in (ROOT / "docs" / "dashboards.md").read_text()


def test_what_is_kept_answers_each_query() -> None:
    assert draw_dashboards.kept(DASHBOARDS)["count"] > 1


def test_a_query_without_a_kept_answer_is_named_with_the_remedy() -> None:
    changed = {"workqueue-new": {"panels": [panel("up", instant=True)], "annotations": {"list": []}}}
    with pytest.raises(draw_dashboards.NotDrawn, match=r"workqueue-new: up\n.*--prometheus"):
        draw_dashboards.kept(changed)


def panel(expr: str, *, instant: bool) -> dict[str, Any]:
    return {"targets": [{"expr": expr, "instant": instant}]}


def test_the_queries_of_closed_rows_and_of_annotations_are_asked_too() -> None:
    inner = {"panels": [panel("b", instant=True)]}
    dashboard = {"panels": [panel("a", instant=False), inner], "annotations": {"list": [{"target": {"expr": "c"}}]}}
    assert list(questions(dashboard)) == [Question("a", False), Question("b", True), Question("c", False)]


def asked(endpoint: str, **parameters: Any) -> Any:
    """One series of everything: 1.23456789 at the first step, not a number at the last, nothing between."""
    if endpoint == "series":
        return [{"queue": "second"}, {"queue": "first"}]
    point = {"metric": {"asked": parameters["query"]}}
    if endpoint == "query":
        return {"result": [{**point, "value": [parameters["time"], "1795887361245.5"]}]}
    return {"result": [{**point, "values": [[SPAN.start, "1.23456789"], [SPAN.end, "NaN"]]}]}


def test_what_is_kept_has_a_place_for_each_step_and_few_digits() -> None:
    variables = {"list": [variable("queue")]}
    dashboard = {"panels": [panel("a[$__rate_interval]", instant=False), panel("b", instant=True)]}
    one = {**dashboard, "annotations": {"list": []}, "templating": variables}
    found = answers(asked, {"x": one}, SPAN, {})["dashboards"]["x"]
    assert found["chosen"] == {"queue": "first"}
    (series,) = found["range"]["a[$__rate_interval]"]
    assert series == {"metric": {"asked": "a[20s]"}, "values": [1.2346, None, None]}
    assert found["instant"]["b"][0]["values"] == [1795887361245]
    assert json.loads(written(found)) == found


def variable(name: str, *, everything: bool = False) -> dict[str, Any]:
    return {"type": "query", "name": name, "includeAll": everything, "query": {"query": f"label_values(a, {name})"}}


def test_what_is_preferred_is_chosen_where_not_all_are() -> None:
    listed = {"templating": {"list": [variable("queue"), variable("pod", everything=True)]}}
    assert choices(asked, listed, SPAN, {"queue": "mine", "pod": "one"}) == {"queue": "mine", "pod": ".*"}
