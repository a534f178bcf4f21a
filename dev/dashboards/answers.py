"""What a Prometheus answers to all that the dashboards ask, kept so that a picture can be drawn again without it.

One file: the answers to each query at the end of a time, and at each step of it, by the query as the dashboard has it.
Numbers have five significant digits; null is what is not there.
"""

import json
import math
import re
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dev.dashboards.queries import filled

DIGITS = 5
#: Seconds between two points.
STEP = 5
#: As Grafana makes it of the scrape interval of examples/monitoring: four scrapes.
RATE_INTERVAL = "20s"
ALL = ".*"

Ask = Callable[..., Any]


@dataclass(frozen=True)
class Span:
    """A time that is looked at, in seconds since 1970."""

    start: int
    count: int

    @property
    def end(self) -> int:
        return self.start + (self.count - 1) * STEP


@dataclass(frozen=True)
class Question:
    """A query of a panel or of an annotation; `instant`: only its answer at the end is shown."""

    expr: str
    instant: bool


def asker(address: str) -> Ask:
    """Questions to the Prometheus at this address; they raise OSError when it does not answer them."""

    def ask(endpoint: str, **parameters: Any) -> Any:
        url = f"{address.rstrip('/')}/api/v1/{endpoint}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]

    return ask


def answers(ask: Ask, dashboards: Mapping[str, Any], span: Span, preferred: Mapping[str, str]) -> dict[str, Any]:
    """All of it, by uid of the dashboards; `preferred`: choices above them, where they can be chosen."""
    found: dict[str, Any] = {"start": span.start, "step": STEP, "count": span.count, "dashboards": {}}
    for uid, dashboard in dashboards.items():
        chosen = choices(ask, dashboard, span, preferred)
        values = {"__rate_interval": RATE_INTERVAL, "__range": f"{span.end - span.start}s", "__interval": f"{STEP}s"}
        each: dict[str, Any] = {"chosen": chosen, "instant": {}, "range": {}}
        for question in questions(dashboard):
            kind = "instant" if question.instant else "range"
            each[kind][question.expr] = _answer(ask, question, filled(question.expr, {**values, **chosen}), span)
        found["dashboards"][uid] = each
    return found


def questions(dashboard: Any) -> Iterator[Question]:
    """Those of all panels and annotations."""
    for panel in dashboard["panels"]:
        for one in [panel, *panel.get("panels", [])]:
            for target in one.get("targets", []):
                yield Question(target["expr"], target["instant"])
    for annotation in dashboard["annotations"]["list"]:
        yield Question(annotation["target"]["expr"], instant=False)


def choices(ask: Ask, dashboard: Any, span: Span, preferred: Mapping[str, str]) -> dict[str, str]:
    """What is chosen above the dashboard: all, or else what is preferred, or else the first in the alphabet."""
    chosen: dict[str, str] = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] != "query":
            continue
        known = ALL if variable["includeAll"] else preferred.get(variable["name"])
        chosen[variable["name"]] = known or _first(ask, filled(variable["query"]["query"], chosen), span)
    return chosen


def _first(ask: Ask, listed: str, span: Span) -> str:
    metric, _, label = listed.removeprefix("label_values(").removesuffix(")").rpartition(", ")
    series = ask("series", **{"match[]": metric, "start": span.start, "end": span.end})
    return min((one[label] for one in series), default="")


def _answer(ask: Ask, question: Question, expr: str, span: Span) -> list[dict[str, Any]]:
    if question.instant:
        found = ask("query", query=expr, time=span.end)["result"]
        return [{"metric": one["metric"], "values": [_number(one["value"][1])]} for one in found]
    found = ask("query_range", query=expr, start=span.start, end=span.end, step=STEP)["result"]
    return [{"metric": one["metric"], "values": _steps(one["values"], span)} for one in found]


def _steps(points: Iterable[tuple[float, str]], span: Span) -> list[float | None]:
    at = {round((when - span.start) / STEP): _number(value) for when, value in points}
    return [at.get(index) for index in range(span.count)]


def _number(text: str) -> float | None:
    value = float(text)
    if not math.isfinite(value):
        return None
    # Times, such as those of annotations in milliseconds, need all of theirs.
    return int(value) if value == int(value) or value > 1e9 else float(f"{value:.{DIGITS}g}")


def written(found: Mapping[str, Any]) -> str:
    """As a file with a line for each query."""
    text = json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True)
    return re.sub(r"\[\s+((?:[-\d.e+]+|null)(?:,\s+(?:[-\d.e+]+|null))*)\s+\]", _one_line, text) + "\n"


def _one_line(found: "re.Match[str]") -> str:
    return "[" + re.sub(r"\s+", "", found[1]) + "]"
