"""What Artifact Hub reads of the charts: its own words, and nothing that is not so."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from dev.write_chart_readmes import Undescribed, readme, table
from tests.support.helm import Helm, Pick

CHARTS = Path(__file__).parents[2] / "charts"
#: As Artifact Hub's documentation lists them.
CATEGORIES = {
    *("ai-machine-learning", "database", "integration-delivery", "monitoring-logging", "networking", "security"),
    *("storage", "streaming-messaging", "skip-prediction"),
}
CAPABILITIES = ("basic install", "seamless upgrades", "full lifecycle", "deep insights", "auto pilot")
KNOWN = {"category", "license", "operator", "operatorCapabilities", "crds", "crdsExamples"}


def annotations(chart: str) -> dict[str, str]:
    """Without their prefix."""
    found = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())["annotations"]
    assert all(name.startswith("artifacthub.io/") and isinstance(value, str) for name, value in found.items())
    return {name.removeprefix("artifacthub.io/"): value for name, value in found.items()}


@pytest.mark.parametrize("chart", ["workqueue-operator", "workqueue"])
def test_annotations_are_in_artifact_hubs_words(chart: str) -> None:
    found = annotations(chart)
    assert set(found) <= KNOWN
    assert found["category"] in CATEGORIES
    assert found["license"] == "Apache-2.0"
    assert found.get("operatorCapabilities", CAPABILITIES[0]) in CAPABILITIES


def test_the_definition_and_its_example_are_those_of_the_chart(helm: Helm, one: Pick) -> None:
    definition: dict[str, Any] = one(helm.template("workqueue-operator"), "CustomResourceDefinition")
    (listed,) = yaml.safe_load(annotations("workqueue-operator")["crds"])
    (version,) = definition["spec"]["versions"]
    assert (listed["name"], listed["version"]) == (definition["metadata"]["name"], version["name"])
    assert listed["kind"] == definition["spec"]["names"]["kind"]
    for example in yaml.safe_load(annotations("workqueue-operator")["crdsExamples"]):
        jsonschema.Draft7Validator(version["schema"]["openAPIV3Schema"]).validate(example)
        assert example["kind"] == listed["kind"]


VALUES = """
# A word on the file.

# -- One of {a|b}, …
#   and of no other.
mode: "a"
# Of the queue, which has no row.
queue:
  # -- Its name.
  name: null
  # -- All of it.
  labels: {a: {b: 1}}
"""


def test_a_row_has_name_default_and_the_comment_above() -> None:
    assert table(VALUES).splitlines()[2:] == [
        r'| `mode` | `"a"` | One of {a\|b}, … and of no other. |',
        "| `queue.name` | `null` | Its name. |",
        '| `queue.labels` | `{"a": {"b": 1}}` | All of it. |',
    ]


@pytest.mark.parametrize(
    "values", ["a: 1\n", "# -- x\n\na: 1\n", "a:\n  # no description\n  b: 1\n", "# -- x\na: 1\nb: 2\n"]
)
def test_a_value_without_a_description_is_an_error_that_names_it(values: str) -> None:
    with pytest.raises(Undescribed, match=r"^(a|a\.b|b) has no description: write one"):
        table(values)


@pytest.mark.parametrize("chart", ["workqueue-operator", "workqueue"])
def test_the_readme_has_every_value(chart: str) -> None:
    path = CHARTS / chart / "README.md"
    assert readme(path) == path.read_text(), "run `make chart-readmes`"
    assert path.read_text().count("\n| `") > 40


@pytest.mark.parametrize("chart", ["workqueue-operator", "workqueue"])
def test_the_schema_has_every_value_and_no_other(chart: str) -> None:
    values = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())
    schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
    assert set(schema["properties"]) == {*values, "global"}
    for name, value in values.items():
        inner = schema["properties"][name].get("properties")
        if isinstance(value, dict) and inner is not None:
            assert set(value) <= set(inner), name


#: What the templates leave out, or leave to Kubernetes, Prometheus or the WorkQueue definition, where a user sets null.
OPTIONAL = {
    *("resources", "podSecurityContext", "securityContext", "networkPolicy", "scaling.maxReplicas"),
    *("scaling.messagesPerReplica", "image.pullPolicy", "podMonitor.interval", "serviceMonitor.interval"),
    *("dashboards.labels", "dashboards.grafanaOperator.folder"),
}


@pytest.mark.parametrize("chart", ["workqueue-operator", "workqueue"])
def test_null_takes_away_no_default_that_a_template_needs(chart: str) -> None:
    """Helm drops such a value: a NetworkPolicy without ports is open, a number is 0, an object a nil pointer."""

    def needed(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
        for name, value in values.items():
            if value and name not in schema.get("required", []) and path + name not in OPTIONAL:
                yield path + name
            if isinstance(value, dict) and "properties" in schema["properties"][name]:
                yield from needed(value, schema["properties"][name], f"{path}{name}.")

    values = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())
    assert list(needed(values, json.loads((CHARTS / chart / "values.schema.json").read_text()))) == []
