"""A dashboard beside the code: every metric and label that it reads must be exported."""

from collections.abc import Iterator, Mapping

from dev.dashboards.model import Dashboard
from dev.dashboards.queries import reads


class NotExported(Exception):
    """A dashboard reads what no part exports; the message names panel and metric."""


def expressions(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    """(where, query) for each query of panels, variables and annotations."""
    for panel in dashboard.panels():
        yield from ((panel.title, query.expr) for query in panel.queries)
    for variable in dashboard.variables:
        yield variable.name, f"count by ({variable.label}) ({variable.metric})"
    yield from ((annotation.name, annotation.expr) for annotation in dashboard.annotations)


def check(dashboard: Dashboard, known: Mapping[str, frozenset[str]]) -> None:
    """Raises NotExported, or Unreadable for what is no PromQL. `known`: labels by series."""
    for where, expr in expressions(dashboard):
        for read in reads(expr):
            if read.metric not in known:
                raise NotExported(f"{dashboard.title}, {where}: no part exports {read.metric}")
            if missing := read.labels - known[read.metric]:
                raise NotExported(
                    f"{dashboard.title}, {where}: {read.metric} has no label {', '.join(sorted(missing))}"
                )
