"""Objects checked against the schemas of one Kubernetes version, in which a field that is not known is an error.

The schemas are those of the package kubernetes-validate. Its own function reads megabytes of JSON for each object: most
of the time that the chart tests took. Here each file is read once.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
from referencing import Registry, Resource

SCHEMAS = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"


def problems(item: Mapping[str, Any], version: str) -> list[str]:
    """What is wrong with an object for a version such as 1.30, each with its path; empty: nothing is.

    Raises FileNotFoundError when the version does not have this kind.
    """
    found = _validator(item["kind"].lower(), _api(item["apiVersion"]), version).iter_errors(item)
    return [f"{version}: {item['kind']} {error.json_path}: {error.message}" for error in found]


def _api(version: str) -> str:
    """As file names have it: rbac.authorization.k8s.io/v1 is rbac-v1."""
    group, slash, name = version.rpartition("/")
    return f"{group.split('.')[0]}-{name}" if slash else name


@cache
def _validator(kind: str, api: str, version: str) -> jsonschema.Draft202012Validator:
    (folder,) = SCHEMAS.glob(f"v{version}.*-local-strict")
    schema = json.loads((folder / f"{kind}-{api}.json").read_text())
    return jsonschema.Draft202012Validator(schema, registry=Resource.from_contents(schema) @ _definitions(folder))


@cache
def _definitions(folder: Path) -> "Registry[Any]":
    made: Registry[Any] = Resource.from_contents(json.loads((folder / "_definitions.json").read_text())) @ Registry()
    return made
