"""Objects of kinds that other projects define, checked as an API server would: a field unknown to it is an error.

An API server drops such a field without a word, unless the client asks for strictness: a misspelt one would be lost.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

Schema = Mapping[str, Any]
TEXT = {"type": "string"}
#: The fields of grafana-operator's GrafanaDashboard that our chart may set, as its definition of v1beta1 has them. Go's
#: proxy does not serve that project's module, which has it in config/crd/bases.
GRAFANA_DASHBOARD: Schema = {
    "type": "object",
    "properties": {
        "apiVersion": {"enum": ["grafana.integreatly.org/v1beta1"]},
        "kind": {"enum": ["GrafanaDashboard"]},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "required": ["instanceSelector"],
            "properties": {
                "allowCrossNamespaceImport": {"type": "boolean"},
                "folder": TEXT,
                "configMapRef": {
                    "type": "object",
                    "required": ["key", "name"],
                    "properties": {"key": TEXT, "name": TEXT},
                },
                "instanceSelector": {
                    "type": "object",
                    "properties": {"matchLabels": {"type": "object", "additionalProperties": TEXT}},
                },
            },
        },
    },
}


class Definitions:
    """The schemas of foreign kinds, by kind and apiVersion."""

    def __init__(self, folder: Path) -> None:
        """`folder`: those of the Prometheus operator."""
        self._schemas = {("GrafanaDashboard", "grafana.integreatly.org/v1beta1"): GRAFANA_DASHBOARD}
        for name in ("podmonitors", "prometheusrules", "servicemonitors"):
            self._schemas.update(_schemas(folder / f"monitoring.coreos.com_{name}.yaml"))

    def problems(self, item: Mapping[str, Any]) -> list[str]:
        """What an API server that is strict would refuse it for, each with its path; empty: it takes the object."""
        schema = closed(self._schemas[item["kind"], item["apiVersion"]])
        found = jsonschema.Draft202012Validator(schema).iter_errors(item)
        return [f"{error.json_path}: {error.message}" for error in found]


def _schemas(file: Path) -> dict[tuple[str, str], Schema]:
    spec = yaml.load(file.read_text(), yaml.CSafeLoader)["spec"]
    kind, group = spec["names"]["kind"], spec["group"]
    return {(kind, f"{group}/{one['name']}"): one["schema"]["openAPIV3Schema"] for one in spec["versions"]}


def closed(schema: Any) -> Any:
    """The schema without room for a field that it does not name."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {name: closed(value) for name, value in schema.items()}
    names = isinstance(made.get("properties"), Mapping) and made.get("type") == "object"
    if names and not made.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made
