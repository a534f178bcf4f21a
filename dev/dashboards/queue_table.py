"""The table of all WorkQueues: a column for each query, a row that opens its queue's dashboard."""

from dev.dashboards.library import built, common, models, shared, table
from dev.dashboards.model import Panel, Step
from dev.dashboards.reasons import colours
from dev.dashboards.shapes import ANY_IS_ORANGE, GREEN, RED, UNKNOWN, WAIT_STEPS

#: In the Grafana, data source and time that are being looked at.
QUEUE_LINK = (
    "/d/workqueue-queue?var-namespace=${__data.fields.namespace}&var-workqueue=${__data.fields.workqueue}"
    "&${datasource:queryparam}&${__url_time_range}"
)
#: The column whose query answers with a label, and not with a number.
REASON = "Reason"
#: Pixels that a title with its signs needs, and a number; namespace and workqueue share what is left.
WIDTHS = {
    **dict.fromkeys(("Waiting", "Workers", "Wanted"), 100),
    **dict.fromkeys(("Maximum", "Can be read"), 115),
    "Oldest message": 160,
    REASON: 160,
    "Dead letters": 120,
}
UNITS = {"Waiting": "short", "Oldest message": "s", "Dead letters": "short"}
STEPS = {
    "Oldest message": WAIT_STEPS,
    "Dead letters": ANY_IS_ORANGE,
    "Can be read": (Step(0, RED), Step(1, GREEN)),
}
YES_NO = {"0": models.ValueMappingResult(text="no"), "1": models.ValueMappingResult(text="yes")}


def queue_table(panel: Panel) -> table.Panel:
    """One table of all queries' answers, joined by namespace and workqueue."""
    made = (
        table.Panel()
        .with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(models.DataTransformerConfig(id_val="organize", options=_organized(panel)))
        .data_links([built.DashboardLink("Open the dashboard of this queue").url(QUEUE_LINK)])
        .filterable(True)
        .sort_by([shared.TableSortByFieldState().display_name("Oldest message").desc(True)])
    )
    for column, width in WIDTHS.items():
        made = made.override_by_name(column, [_property("custom.width", width)])
    for column, unit in UNITS.items():
        made = made.override_by_name(column, [_property("unit", unit)])
    for column, steps in STEPS.items():
        made = made.override_by_name(column, [*_coloured(), _property("thresholds", _thresholds(steps))])
    words = {word: models.ValueMappingResult(color=colour) for word, colour in colours().items()}
    made = made.override_by_name(REASON, [*_coloured(), _property("mappings", [models.ValueMap(words)])])
    return made.override_by_name("Can be read", [_property("mappings", [models.ValueMap(YES_NO)])])


def _organized(panel: Panel) -> dict[str, object]:
    """Order and titles of the columns; the number 1 beside a reason is left out."""
    named = {f"Value #{letter}": query.legend for letter, query in zip("ABCDEFGHIJ", panel.queries, strict=False)}
    shown = {value: "reason" if title == REASON else value for value, title in named.items()}
    return {
        "excludeByName": {"Time": True, **{value: True for value, column in shown.items() if column == "reason"}},
        "indexByName": {name: place for place, name in enumerate(("namespace", "workqueue", *shown.values()))},
        "renameByName": {column: named[value] for value, column in shown.items()},
    }


def _coloured() -> list[models.DynamicConfigValue]:
    return [_property("custom.cellOptions", {"type": common.TableCellDisplayMode.COLOR_TEXT})]


def _thresholds(steps: tuple[Step, ...]) -> object:
    given = [models.Threshold(None, UNKNOWN), *(models.Threshold(one.value, one.colour) for one in steps)]
    return models.ThresholdsConfig(models.ThresholdsMode.ABSOLUTE, given)


def _property(name: str, value: object) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(name, value)
