"""The JSON of a dashboard: the classic form, which Grafana 10 to 13 read."""

import json
from itertools import count
from typing import Any

from dev.dashboards.library import Builder, JSONEncoder, built, common, models, prometheus
from dev.dashboards.model import Annotation, Dashboard, Row, Variable
from dev.dashboards.panels import SOURCE, rendered

TAG = "workqueue"


def text(dashboard: Dashboard) -> str:
    """The file of a dashboard: sorted keys, so that a change shows as what it is."""
    made = json.loads(JSONEncoder().encode(_built(dashboard)))
    _number(made["panels"])
    for link in made["links"]:
        del link["placement"]  # the library hides them in a menu
    return json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _built(dashboard: Dashboard) -> models.Dashboard:
    made = (
        built.Dashboard(dashboard.title)
        .uid(dashboard.uid)
        .description(dashboard.description)
        .tags([TAG])
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time("now-3h", "now")
        .refresh("30s")
        .timezone("browser")
        .links(_links())
        .variables([_source(), *map(_variable, dashboard.variables), _filters()])
        .annotations([_annotation(one) for one in dashboard.annotations])
    )
    for row in dashboard.rows:
        _add(made, row)
    return made.build()


def _add(made: built.Dashboard, row: Row) -> None:
    heading, panels = built.Row(row.title), [rendered(panel) for panel in row.panels]
    if row.collapsed:
        for panel in panels:
            heading.with_panel(panel)
    made.with_row(heading)
    if not row.collapsed:
        for panel in panels:
            made.with_panel(panel)


def _number(panels: list[dict[str, Any]]) -> None:
    """Ids of rows and panels, which the library leaves out."""
    numbers = count(1)
    for panel in panels:
        panel["id"] = next(numbers)
        for inner in panel.get("panels", []):
            inner["id"] = next(numbers)


def _links() -> list[Builder[models.DashboardLink]]:
    """The chart adds one to the runbooks, as it knows where the user reads them."""
    ours = built.DashboardLink("WorkQueue").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
    brokers = built.DashboardLink("RabbitMQ").type(models.DashboardLinkType.DASHBOARDS).tags(["rabbitmq-prometheus"])
    return [
        ours.as_dropdown(True).keep_time(True).include_vars(True),
        brokers.as_dropdown(True).keep_time(True),
    ]


def _source() -> built.DatasourceVariable:
    return built.DatasourceVariable("datasource").label("Data source").type("prometheus")


def _filters() -> built.AdHocVariable:
    """For a label of the user's own, such as that of a cluster; no query needs to know it."""
    return built.AdHocVariable("filters").label("Filters").datasource(SOURCE)


def _variable(variable: Variable) -> built.QueryVariable:
    asked = f"label_values({variable.metric}, {variable.label})"
    made = (
        built.QueryVariable(variable.name)
        .label(variable.title)
        .datasource(SOURCE)
        .query({"query": asked, "refId": variable.name})
        .definition(asked)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )
    if variable.multiple:
        everything = models.VariableOption(selected=True, text=["All"], value=["$__all"])
        made = made.multi(True).include_all(True).all_value(".*").current(everything)
    return made.hide(models.VariableHide.HIDE_VARIABLE) if variable.hidden else made


def _annotation(annotation: Annotation) -> built.AnnotationQuery:
    target = prometheus.Dataquery().expr(annotation.expr).ref_id("Anno").range().datasource(SOURCE)
    return (
        built.AnnotationQuery()
        .name(annotation.name)
        .datasource(common.DataSourceRef(type_val=SOURCE.type_val, uid=SOURCE.uid))
        .enable(True)
        .icon_color(annotation.colour)
        .expr(annotation.expr)
        .target(target)
        .title_format(annotation.title)
        .text_format(annotation.text)
        .step("15s")
        .use_value_for_time(True)
    )
