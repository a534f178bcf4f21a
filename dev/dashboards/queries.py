"""What a query reads: the series, the labels it needs of them, and whether it looks at a window of time."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import promql_parser as promql

#: What Grafana puts in; the values suit a view of three hours, scraped each 15 s.
WINDOWS = {"__rate_interval": "1m", "__range": "3h", "__interval": "15s"}


class Unreadable(Exception):
    """The query is no PromQL; the message is the parser's."""


@dataclass(frozen=True)
class Read:
    """One series that a query reads."""

    metric: str
    #: Labels that it must have: of matchers, and of what groups and joins.
    labels: frozenset[str] = frozenset()
    #: Labels that matchers compare.
    matched: frozenset[str] = frozenset()
    windowed: bool = False


def filled(expr: str, values: Mapping[str, str] | None = None) -> str:
    """The query as Grafana sends it, with `values` for variables, by their names."""
    for name, value in {**WINDOWS, **(values or {})}.items():
        expr = re.sub(rf"\${name}\b", value.replace("\\", r"\\"), expr)
    return expr


def variables(text: str) -> set[str]:
    """The variables that a text uses, whichever way they are written."""
    return {name for names in re.findall(r"\$(\w+)|\$\{(\w+)[^}]*\}", text) for name in names if name}


def reads(expr: str) -> list[Read]:
    """Raises Unreadable."""
    try:
        tree = promql.parse(filled(expr))
    except ValueError as error:
        raise Unreadable(f"{expr}: {error}") from error
    return list(_reads(tree, frozenset()))


def _reads(node: Any, labels: frozenset[str]) -> Iterator[Read]:
    """`labels`: those that the surroundings need."""
    match node:
        case promql.VectorSelector():
            matched = frozenset(matcher.name for matcher in node.matchers.matchers)
            yield Read(node.name or "", labels | matched, matched)
        case promql.MatrixSelector():
            yield from (replace(read, windowed=True) for read in _reads(node.vector_selector, labels))
        case promql.AggregateExpr():
            below = frozenset(node.modifier.labels) if node.modifier else frozenset()
            yield from _reads(node.expr, below)
        case promql.BinaryExpr():
            joined = labels | _joined(node.modifier)
            yield from _reads(node.lhs, joined)
            # Of what is behind `and` and `unless`, nothing but the join is in the answer.
            yield from _reads(node.rhs, _joined(node.modifier) if str(node.op) in ("and", "unless") else joined)
        case promql.Call():
            made = {node.args[1].val} if node.func.name in ("label_replace", "label_join") else frozenset()
            for argument in node.args:
                yield from _reads(argument, labels - made)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            yield from _reads(node.expr, labels)


def _joined(modifier: Any) -> frozenset[str]:
    matching = modifier.matching if modifier else None
    if matching is None or matching.type != promql.LabelModifierType.Include:
        return frozenset()
    return frozenset(matching.labels)
