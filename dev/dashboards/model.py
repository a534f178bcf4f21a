"""A dashboard as a value: rows of panels, each with the question that it answers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """The panel types that are used: none that a Grafana has removed."""

    STAT = "stat"
    TABLE = "table"
    LINES = "timeseries"
    STATES = "state-timeline"
    HEATMAP = "heatmap"


class Style(StrEnum):
    """How a panel over time draws its series."""

    LINES = "lines"
    STEPS = "steps"
    BARS = "bars"
    STACKED = "stacked"


class Shows(StrEnum):
    """What a stat panel writes, and whether lines are reasons."""

    VALUE = "value"
    #: The name of the series.
    NAME = "name"
    #: Both, also where there is one series alone.
    NAMED_VALUE = "named value"
    #: The reasons of decisions, in their colours.
    REASON = "reason"


@dataclass(frozen=True)
class Query:
    """PromQL and the name of its series. In a table, `legend` is the column."""

    expr: str
    legend: str = ""
    #: Why it may answer nothing while everything runs and the panel's other queries answer.
    may_be_empty: str = ""


@dataclass(frozen=True)
class Step:
    """From this value on, this colour. Red: a person must act."""

    value: float
    colour: str


@dataclass(frozen=True)
class Panel:
    """One panel. Widths are in Grafana's 24 columns; those of a line of panels add up to 24."""

    kind: Kind
    title: str
    #: What the panel answers, for a person who sees it for the first time.
    question: str
    queries: tuple[Query, ...]
    #: What is shown without data, which says what that means.
    empty: str
    unit: str = "none"
    width: int = 12
    height: int = 8
    steps: tuple[Step, ...] = ()
    style: Style = Style.LINES
    shows: Shows = Shows.VALUE
    #: Why it may have no data at all while everything runs; empty: it always has.
    may_be_empty: str = ""

    def needed(self) -> Iterator[Query]:
        """The queries that answer whenever everything runs."""
        if not self.may_be_empty:
            yield from (query for query in self.queries if not query.may_be_empty)


@dataclass(frozen=True)
class Row:
    """Panels under a heading; a collapsed one is opened with a click."""

    title: str
    panels: tuple[Panel, ...]
    collapsed: bool = False


@dataclass(frozen=True)
class Variable:
    """A choice above the dashboard; its values are those of a label of `metric`, a metric with matchers."""

    name: str
    title: str
    metric: str
    label: str
    multiple: bool = False
    hidden: bool = False


@dataclass(frozen=True)
class Annotation:
    """Marks at the times that are the query's values, in milliseconds."""

    name: str
    expr: str
    title: str
    text: str
    colour: str


@dataclass(frozen=True)
class Dashboard:
    """One dashboard; `uid` is its address in every Grafana and never changes."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    annotations: tuple[Annotation, ...] = field(default=())

    def panels(self) -> Iterator[Panel]:
        """All panels, in the order of reading."""
        for row in self.rows:
            yield from row.panels
