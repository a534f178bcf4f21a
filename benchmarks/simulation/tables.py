"""The runs as a table for people and as JSON for programs."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby

from benchmarks.simulation.measures import Run

HEADINGS = (
    ("scaler", "---"),
    ("wait mean / p95 / p99, s", "---:"),
    ("backlog mean / most", "---:"),
    ("most workers", "---:"),
    ("worker seconds", "---:"),
    ("times the work", "---:"),
    ("changes", "---:"),
    ("workers started", "---:"),
    ("busy ones stopped", "---:"),
)


def markdown(runs: Iterable[Run]) -> str:
    """One table for each trace, under its name and what it is."""
    sections = []
    for trace, of_trace in groupby(runs, key=lambda one: one.trace):
        lines = [f"### {trace.name.capitalize()}", "", f"{trace.what}; {len(trace.tasks):,} tasks.", ""]
        lines += [_row([heading for heading, _ in HEADINGS]), _row([line for _, line in HEADINGS])]
        lines += [_row(_cells(one)) for one in of_trace]
        sections.append("\n".join(lines))
    return "\n\n".join(sections) + "\n"


def as_json(runs: Iterable[Run]) -> str:
    """Everything but the curves and the tasks."""
    return json.dumps([_plain(one) for one in runs], indent=1) + "\n"


def _plain(one: Run) -> dict[str, object]:
    plain = {name: value for name, value in asdict(one).items() if name not in ("trace", "curve")}
    rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in plain.items()}
    return {"trace": one.trace.name, "tasks": len(one.trace.tasks), **rounded}


def _cells(one: Run) -> list[str]:
    return [
        one.contender,
        f"{one.wait_mean:.1f} / {one.wait_p95:.1f} / {one.wait_p99:.1f}",
        f"{one.backlog_mean:.1f} / {one.backlog_max:,}",
        str(one.replicas_max),
        f"{one.replica_seconds:,.0f}",
        f"{one.replicas_per_work:.2f}",
        str(one.changes),
        str(one.workers_started),
        str(one.busy_stopped),
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
