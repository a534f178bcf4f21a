"""The dashboards as the operator's chart installs them: the files as they are, where Grafana finds them."""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.support.helm import Helm, Manifest

FOLDER = Path(__file__).parents[2] / "charts" / "workqueue-operator" / "dashboards"
FILES = {path.name: path.read_text().rstrip("\n") for path in FOLDER.glob("*.json")}


def config_maps(helm: Helm, **dashboards: Any) -> list[Manifest]:
    objects = helm.template("workqueue-operator", {"dashboards": {"enabled": True, **dashboards}})
    return [item for item in objects if item["kind"] == "ConfigMap"]


def test_without_a_word_there_are_none(helm: Helm) -> None:
    kinds = {item["kind"] for item in helm.template("workqueue-operator")}
    assert not kinds & {"ConfigMap", "GrafanaDashboard"}


def test_a_config_map_for_each_file_with_the_very_text_of_the_file(helm: Helm) -> None:
    made = config_maps(helm)
    assert len(made) == len(FILES) == 4
    assert {name: text for item in made for name, text in item["data"].items()} == FILES


def test_the_sidecar_finds_them_by_its_label_in_the_release_namespace(helm: Helm) -> None:
    for item in config_maps(helm):
        assert item["metadata"]["namespace"] == "demo"
        assert item["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert item["metadata"]["labels"]["app.kubernetes.io/part-of"] == "workqueue"


def test_namespace_label_and_folder_are_the_users(helm: Helm) -> None:
    made = config_maps(
        helm,
        namespace="monitoring",
        labels={"grafana_dashboard": None, "dashboards": "yes"},
        annotations={"grafana_folder": "WorkQueue"},
    )
    for item in made:
        assert item["metadata"]["namespace"] == "monitoring"
        assert item["metadata"]["labels"]["dashboards"] == "yes"
        assert "grafana_dashboard" not in item["metadata"]["labels"]
        assert item["metadata"]["annotations"] == {"grafana_folder": "WorkQueue"}


def test_a_link_to_the_runbooks_is_all_that_their_address_adds(helm: Helm) -> None:
    address = "https://docs.example.com/runbooks.md?a=1&b=<2>"
    for item in config_maps(helm, runbooksUrl=address):
        ((name, text),) = item["data"].items()
        made, file = json.loads(text), json.loads(FILES[name])
        link = made["links"].pop()
        assert (link["title"], link["url"], link["type"]) == ("Runbooks", address, "link")
        assert made == file


def test_grafana_operator_takes_each_from_its_config_map(helm: Helm) -> None:
    values = {"enabled": True, "namespace": "monitoring", "grafanaOperator": {"enabled": True}}
    objects = helm.template("workqueue-operator", {"dashboards": values})
    texts = {item["metadata"]["name"]: item["data"] for item in objects if item["kind"] == "ConfigMap"}
    made = [item for item in objects if item["kind"] == "GrafanaDashboard"]
    assert len(made) == 4
    for item in made:
        assert item["metadata"]["namespace"] == "monitoring"
        spec = item["spec"]
        assert spec["configMapRef"]["key"] in texts[spec["configMapRef"]["name"]]
        assert spec["instanceSelector"] == {"matchLabels": {"dashboards": "grafana"}}
        assert (spec["folder"], spec["allowCrossNamespaceImport"]) == ("WorkQueue", True)


def test_they_fit_into_config_maps_and_into_helms_record_of_the_release(helm: Helm) -> None:
    """A ConfigMap holds 1 MiB; helm keeps the whole release in one Secret of that size."""
    assert sum(len(yaml.safe_dump(item)) for item in config_maps(helm)) < 400_000
