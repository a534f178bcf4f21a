"""`make demo-grafana`: what it applies of examples/monitoring, and where."""

import json
from typing import Any

import pytest

from dev import demo_grafana
from dev.clusters import LOCAL_CONTEXT
from dev.kube import Kube

IMAGES = {"prometheus": {"repository": "localhost/workqueue/prometheus", "tag": "abc"}}


@pytest.fixture(autouse=True)
def _images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKQUEUE_IMAGES", json.dumps(IMAGES))


def container(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (deployment,) = [one for one in objects if one["kind"] == "Deployment"]
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.mark.parametrize("name", demo_grafana.PORTS)
def test_everything_is_in_the_namespace_of_the_demo(name: str) -> None:
    made = demo_grafana.manifest(name, "elsewhere")
    assert {one["metadata"]["namespace"] for one in made} == {"elsewhere"}
    assert "workqueue-demo" not in str(made)


def test_an_image_that_the_cluster_was_given_stands_in_for_the_official_one() -> None:
    assert container(demo_grafana.manifest("prometheus", "demo"))["image"] == "localhost/workqueue/prometheus:abc"
    assert container(demo_grafana.manifest("grafana", "demo"))["image"].startswith("docker.io/grafana/grafana:")


def test_the_local_cluster_which_reaches_no_registry_gets_no_grafana() -> None:
    assert demo_grafana.programs(Kube(LOCAL_CONTEXT)) == ["prometheus"]
    assert demo_grafana.programs(Kube("kind-workqueue")) == ["prometheus", "grafana"]
