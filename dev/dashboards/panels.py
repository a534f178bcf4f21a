"""A panel as Grafana's library builds it."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from dev.dashboards.library import (
    PromQueryFormat,
    built,
    common,
    heatmap,
    models,
    prometheus,
    shared,
    stat,
    statetimeline,
    table,
    timeseries,
)
from dev.dashboards.model import Kind, Panel, Query, Shows, Style
from dev.dashboards.queue_table import queue_table
from dev.dashboards.reasons import colours
from dev.dashboards.shapes import GREY, UNKNOWN

#: The builder of a panel of each kind.
Made = heatmap.Panel | stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel
P = TypeVar("P", statetimeline.Panel, timeseries.Panel)
#: The choice above the dashboard: a fixed name would exist in one Grafana alone.
SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
#: Series that are bounds, drawn as dashed lines.
BOUNDS = ("minimum", "maximum", "limit")
TEXT_MODES = {
    Shows.VALUE: common.BigValueTextMode.AUTO,
    Shows.NAME: common.BigValueTextMode.NAME,
    Shows.NAMED_VALUE: common.BigValueTextMode.VALUE_AND_NAME,
    Shows.REASON: common.BigValueTextMode.VALUE,
}


def rendered(panel: Panel) -> Made:
    """The builder of the panel."""
    kinds: dict[Kind, Callable[[Panel], Made]] = {
        Kind.STAT: _stat,
        Kind.TABLE: queue_table,
        Kind.LINES: _lines,
        Kind.STATES: _states,
        Kind.HEATMAP: _heatmap,
    }
    return (
        kinds[panel.kind](panel)
        .title(panel.title)
        .description(panel.question)
        .unit(panel.unit)
        .no_value(panel.empty)
        .span(panel.width)
        .height(panel.height)
        .datasource(SOURCE)
        .thresholds(_thresholds(panel))
        .targets(list(_targets(panel)))
    )


def _thresholds(panel: Panel) -> built.ThresholdsConfig:
    """Below the first step is the colour of what is unknown: never green. A line at 0 would look like a series."""
    drawn = [one for one in panel.steps if panel.kind is not Kind.LINES or one.value > 0]
    steps = [models.Threshold(None, UNKNOWN), *(models.Threshold(one.value, one.colour) for one in drawn)]
    return built.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _targets(panel: Panel) -> Iterator[prometheus.Dataquery]:
    for letter, query in zip("ABCDEFGHIJ", panel.queries, strict=False):
        yield _target(panel, query).ref_id(letter).datasource(SOURCE)


def _target(panel: Panel, query: Query) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(query.expr)
    if panel.kind is Kind.TABLE or (panel.kind is Kind.STAT and panel.shows is Shows.REASON):
        return made.instant().format(PromQueryFormat.TABLE)
    made = made.legend_format(query.legend)
    if panel.kind is Kind.STAT:
        return made.instant()  # a range would show the last number of a series that is gone
    return made.range().format(PromQueryFormat.HEATMAP) if panel.kind is Kind.HEATMAP else made.range()


def _stat(panel: Panel) -> stat.Panel:
    reduced = shared.ReduceDataOptions().calcs(["lastNotNull"])
    made = stat.Panel().text_mode(TEXT_MODES[panel.shows]).graph_mode(common.BigValueGraphMode.NONE)
    if panel.shows is Shows.REASON:
        results = {word: models.ValueMappingResult(color=colour) for word, colour in colours().items()}
        made = made.mappings([models.ValueMap(results)])
        reduced = reduced.fields("/^reason$/")
    return made.reduce_options(reduced)


def _lines(panel: Panel) -> timeseries.Panel:
    several = len(panel.queries) > 1 or "{{" in panel.queries[0].legend
    made = (
        timeseries.Panel()
        .legend(_legend(several))
        .tooltip(shared.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
        .color_scheme(built.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
        .show_points(common.VisibilityMode.AUTO)
        .fill_opacity(10)
        .min(0)
    )
    if panel.unit not in ("s", "bytes"):
        made = made.axis_soft_max(1)  # the axis of a flat zero would reach 100
    if panel.steps:
        made = made.thresholds_style(shared.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    if panel.shows is Shows.REASON:
        made = _reasons(made)
    return _bounds(panel, _styled(panel.style, made))


def _styled(style: Style, made: timeseries.Panel) -> timeseries.Panel:
    if style is Style.STEPS:
        return made.line_interpolation(common.LineInterpolation.STEP_AFTER).fill_opacity(0)
    if style is Style.BARS:
        made = made.draw_style(common.GraphDrawStyle.BARS).fill_opacity(60)
    if style is Style.STACKED:
        made = made.line_width(0).fill_opacity(60)  # the line of a part that is 0 would lie on the one below it
    if style in (Style.BARS, Style.STACKED):
        made = made.stacking(shared.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    return made


def _bounds(panel: Panel, made: timeseries.Panel) -> timeseries.Panel:
    for query in panel.queries:
        if query.legend in BOUNDS:
            dashed = models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]})
            made = made.override_by_name(query.legend, [dashed, _colour(GREY)])
    return made


def _states(panel: Panel) -> statetimeline.Panel:
    return _reasons(
        statetimeline.Panel().show_value(common.VisibilityMode.NEVER).row_height(0.9).legend(_legend(False))
    )


def _reasons(made: P) -> P:
    """Each series has the colour of the reason that is its name."""
    for reason, colour in colours().items():
        made = made.override_by_name(reason, [_colour(colour)])
    return made


def _heatmap(panel: Panel) -> heatmap.Panel:
    axis = heatmap.YAxisConfig().unit(panel.unit)
    return heatmap.Panel().calculate(False).y_axis(axis).show_value(common.VisibilityMode.NEVER)


def _legend(shown: bool) -> shared.VizLegendOptions:
    placed = shared.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST)
    return placed.placement(common.LegendPlacement.BOTTOM).show_legend(shown)


def _colour(name: str) -> models.DynamicConfigValue:
    return models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": name})
