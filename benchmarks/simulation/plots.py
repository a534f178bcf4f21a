"""The runs as two figures: how each trace went, and what it cost. Needs matplotlib (requirements.txt)."""

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.simulation.measures import Run

#: Colours that colour-blind people can distinguish (Okabe and Ito), and a line style each for print.
STYLES = (("#0072B2", "-"), ("#009E73", "-"), ("#D55E00", "--"), ("#CC79A7", "--"))
BAR_HEIGHT = 0.2
#: Minutes shown after the last worker of the slowest scaler has gone.
AFTER_MINUTES = 1.0


def draw(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Write both figures; the paths."""
    mpl.rcParams.update({"font.size": 10, "axes.titlesize": 10, "svg.hashsalt": "simulation"})
    paths = [folder / "timelines.png", folder / "costs.png"]
    for path, figure in zip(paths, (_timelines(runs), _costs(runs)), strict=True):
        figure.savefig(path, dpi=90, metadata={"Software": None})
    return paths


def _timelines(runs: Sequence[Run]) -> Figure:
    """A row for each trace: what waits on the left, workers on the right."""
    traces = _by_trace(runs)
    figure = Figure(figsize=(14, 2.5 * len(traces) + 1), layout="constrained")
    figure.suptitle("Messages waiting and workers asked for, over time: one row for each trace", fontsize=13)
    rows = figure.subplots(len(traces), 2, squeeze=False)
    for (left, right), of_trace in zip(rows, traces, strict=True):
        for one, (color, line) in zip(of_trace, STYLES, strict=False):
            minutes = [point.time / 60 for point in one.curve]
            style = {"color": color, "linestyle": line, "linewidth": 1.3, "label": one.contender}
            left.plot(minutes, [point.messages_ready for point in one.curve], **style)
            right.step(minutes, [point.replicas for point in one.curve], where="post", **style)
        for axes in (left, right):
            axes.set_xlim(0, _end(of_trace))
        _label(left, f"{of_trace[0].trace.name.capitalize()}: messages ready", "messages")
        _label(right, f"{of_trace[0].trace.name.capitalize()}: workers", "workers")
    for axes in rows[-1]:
        axes.set_xlabel("minutes from the start of the trace")
    _legend(figure, rows[0][0])
    return figure


def _end(of_trace: Sequence[Run]) -> float:
    return max(point.time for one in of_trace for point in one.curve if point.replicas) / 60 + AFTER_MINUTES


def _label(axes: Axes, title: str, unit: str) -> None:
    axes.set_title(title, loc="left")
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(alpha=0.3)


def _costs(runs: Sequence[Run]) -> Figure:
    """Four bars for each trace in each of four panels."""
    traces = _by_trace(runs)
    panels: Sequence[tuple[str, Callable[[Run], float], str, bool]] = (
        ("Waiting time, 95th percentile (s, log scale)", lambda one: max(0.1, one.wait_p95), ".1f", True),
        ("Worker seconds, as a multiple of the work", lambda one: one.replicas_per_work, ".2f", False),
        ("Changes of the Deployment's size", lambda one: one.changes, ".0f", False),
        ("Busy workers stopped", lambda one: one.busy_stopped, ".0f", False),
    )
    figure = Figure(figsize=(14, 10), layout="constrained")
    figure.suptitle("What each scaler costs and gives (shorter is better everywhere)", fontsize=13)
    grid = figure.subplots(2, 2, sharey=True)
    for axes, (title, value, digits, log) in zip(grid.flat, panels, strict=True):
        _bars(axes, traces, value, digits)
        if log:
            axes.set_xscale("log")
        axes.set_title(title, loc="left")
    _legend(figure, grid[0][0])
    return figure


def _bars(axes: Axes, traces: Sequence[Sequence[Run]], value: Callable[[Run], float], digits: str) -> None:
    for place, (color, line) in enumerate(STYLES[: len(traces[0])]):
        rows = [row + (place - 1.5) * BAR_HEIGHT for row in range(len(traces))]
        values = [value(of_trace[place]) for of_trace in traces]
        hatch = "" if line == "-" else "///"
        bars = axes.barh(
            rows, values, BAR_HEIGHT, color=color, label=traces[0][place].contender, hatch=hatch, edgecolor="white"
        )
        axes.bar_label(bars, labels=[f"{number:{digits}}" for number in values], padding=2, fontsize=8)
    axes.set_yticks(range(len(traces)), [of_trace[0].trace.name for of_trace in traces])
    axes.margins(x=0.12, y=0.02)
    if not axes.yaxis_inverted():
        axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)


def _by_trace(runs: Sequence[Run]) -> list[list[Run]]:
    return [list(of_trace) for _, of_trace in groupby(runs, key=lambda one: one.trace)]
