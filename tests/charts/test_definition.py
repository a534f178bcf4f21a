"""The custom resource's definition: structural, bounded, described, and the same in the reference page."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.helm import Helm, Manifest, Pick

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "workqueue.md"

Schema = dict[str, Any]


@pytest.fixture
def definition(helm: Helm, one: Pick) -> dict[str, Any]:
    spec: Manifest = one(helm.template("workqueue-operator"), "CustomResourceDefinition")["spec"]
    return spec


@pytest.fixture
def schema(definition: Manifest) -> Schema:
    (version,) = definition["versions"]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every field below the schema, with its path; [] stands for an item of a list."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}".lstrip("."), field
        yield from fields(field, f"{path}.{name}")
    if "items" in schema:
        yield f"{path}[]".lstrip("."), schema["items"]
        yield from fields(schema["items"], f"{path}[]")


def leaves(schema: Schema) -> dict[str, Schema]:
    """Those that hold a value."""
    return {path: field for path, field in fields(schema) if field["type"] not in ("object", "array")}


def examples() -> list[dict[str, Any]]:
    """The YAML blocks of the reference page."""
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text(), re.DOTALL)]


def documented() -> dict[str, str]:
    """Field of spec -> default, as the reference page has them."""
    table = REFERENCE.read_text().partition("## spec")[2].partition("###")[0]
    return dict(re.findall(r"^\| `([A-Za-z.]+)` \| ([^|]+) \|", table, re.MULTILINE))


def test_names(definition: Manifest) -> None:
    assert definition["group"] == "workqueue.dev"
    assert definition["scope"] == "Namespaced"
    names = definition["names"]
    assert (names["kind"], names["plural"], names["shortNames"]) == ("WorkQueue", "workqueues", ["wq"])
    (version,) = definition["versions"]
    assert version["name"] == "v1alpha1"
    assert version["subresources"] == {"status": {}}, "no scale subresource: the Deployment is what scales"


def test_columns(definition: Manifest) -> None:
    columns = definition["versions"][0]["additionalPrinterColumns"]
    shown = [column["name"] for column in columns if not column.get("priority")]
    assert shown == [*("Ready", "Queue", "Waiting", "Wanted", "Desired", "Replicas", "Ready-Workers", "Reason", "Age")]
    assert [column["name"] for column in columns if column.get("priority")] == ["Message", "Min", "Max"]


def test_columns_show_fields_that_exist(definition: Manifest, schema: Schema) -> None:
    known = {path for path, _ in fields(schema)} | {"metadata.creationTimestamp"}
    for column in definition["versions"][0]["additionalPrinterColumns"]:
        path = re.sub(r"\[\?\(.*?\)\]", "[]", column["jsonPath"]).lstrip(".")
        assert path in known, column["name"]


def test_nothing_unknown_is_kept(definition: Manifest, schema: Schema) -> None:
    assert "preserveUnknownFields" not in definition
    assert all("x-kubernetes-preserve-unknown-fields" not in field for _, field in fields(schema))


def test_every_field_is_described(schema: Schema) -> None:
    undescribed = [path for path, field in fields(schema) if not field.get("description")]
    assert undescribed == ["metadata"], "metadata is described by Kubernetes"


def test_every_value_is_bounded(schema: Schema) -> None:
    for path, field in leaves(schema).items():
        if path in ("apiVersion", "kind"):
            continue
        if field["type"] == "integer":
            assert "minimum" in field, path
            assert "maximum" in field or path.startswith("status."), path
        else:
            assert {"enum", "maxLength", "format"} & set(field), path
    for path, field in fields(schema):
        assert field["type"] != "array" or "maxItems" in field, path


def test_numbers_say_their_unit_and_words_are_in_pascal_case(schema: Schema) -> None:
    for path, field in leaves(schema).items():
        for word in field.get("enum", []):
            assert re.fullmatch(r"[A-Z][A-Za-z]+|apps/v1", word), path
        if re.search(r"(?i)seconds$", path):
            assert "Seconds" in field["description"], path


def test_defaults_are_shown_by_kubectl_explain(schema: Schema) -> None:
    for path, field in leaves(schema["properties"]["spec"]).items():
        if "default" in field:
            assert f"Default: {field['default']}." in field["description"], path


def test_defaults_of_objects_let_those_of_their_fields_come(schema: Schema) -> None:
    """Without `default: {}` on every object on the way, a default further down is never filled in."""
    for path, field in fields(schema["properties"]["spec"]):
        inner = [name for name, sub in field.get("properties", {}).items() if "default" in sub]
        if field["type"] == "object" and inner and not field.get("required"):
            assert field.get("default") == {}, path


def test_conditions_are_those_of_kubernetes(schema: Schema) -> None:
    conditions = schema["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    item = conditions["items"]
    assert set(item["required"]) == {"type", "status", "lastTransitionTime", "reason", "message"}
    assert set(item["properties"]) == {*item["required"], "observedGeneration"}
    assert item["properties"]["status"]["enum"] == ["True", "False", "Unknown"]


def test_ten_decisions_are_kept(schema: Schema) -> None:
    status = schema["properties"]["status"]["properties"]
    assert status["recentDecisions"]["maxItems"] == 10
    assert set(status["recentDecisions"]["items"]["properties"]) == set(status["lastDecision"]["properties"])


def test_rules_name_the_field_and_a_remedy(schema: Schema) -> None:
    rules = [rule for _, field in [("", schema), *fields(schema)] for rule in field.get("x-kubernetes-validations", [])]
    assert len(rules) == 11
    for rule in rules:
        assert re.match(r"(spec|metadata)\.[a-zA-Z.]+,? ", rule["message"]), rule
        assert re.search(r"(\. |, )(Lower|Set|Name|Choose|Create|Delete|Empty)", rule["message"]), rule


def test_examples_of_the_reference_are_valid(schema: Schema) -> None:
    for example in examples():
        jsonschema.Draft7Validator(schema).validate(example)


def test_the_full_example_has_every_field(schema: Schema) -> None:
    (full,) = [example for example in examples() if "mode" in example["spec"]]

    def paths(value: Any, path: str = "") -> Iterator[str]:
        if isinstance(value, dict):
            for name, inner in value.items():
                yield from paths(inner, f"{path}.{name}")
        else:
            yield path.lstrip(".")

    assert set(paths(full["spec"])) == set(leaves(schema["properties"]["spec"]))


def test_the_reference_lists_every_field_with_its_default(schema: Schema) -> None:
    spec, table = leaves(schema["properties"]["spec"]), documented()
    assert list(table) == list(spec), "the same fields, in the same order"
    for path, field in spec.items():
        documented_default = table[path].strip()
        if "default" in field:
            assert documented_default == f"`{field['default']}`", path
        else:
            assert not re.fullmatch(r"`[^`]*`", documented_default), f"{path} has no default in the schema"


def test_the_reference_lists_status_and_conditions(schema: Schema) -> None:
    text = REFERENCE.read_text()
    status = text.partition("## status")[2]
    listed = re.findall(r"^\| `(\w+)` \|", status, re.MULTILINE)
    conditions = re.findall(r"[A-Z]\w+", schema["properties"]["status"]["properties"]["conditions"]["description"])
    assert listed == [*schema["properties"]["status"]["properties"], *conditions]


def test_the_charts_own_workqueue_fits(helm: Helm, one: Pick, schema: Schema) -> None:
    workqueue = one(helm.template("workqueue", {"broker": {"secretName": "rabbitmq"}}), "WorkQueue")
    jsonschema.Draft7Validator(schema).validate(workqueue)
    known = {path for path, _ in fields(schema)}
    for part, value in workqueue["spec"].items():
        names = [f"spec.{part}.{name}" for name in value] if isinstance(value, dict) else [f"spec.{part}"]
        assert set(names) <= known
