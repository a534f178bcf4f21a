"""An upgrade from the charts before restarts no worker: the pods' template is the same to the byte.

`upgrade_from` holds the charts to upgrade from. There is no release yet: these are the charts as they were before they
got NetworkPolicies, dashboards and alerts, but for one line: the queue's has the limit of /tmp that came since, which
restarts the workers of an older checkout. A release puts its own packages in their place.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.helm import Helm

CHARTS = Path(__file__).parents[2] / "charts"
BEFORE = Path(__file__).parent / "upgrade_from"
IMAGE = {"image": {"repository": "registry.example.com/x", "tag": "7"}}
BROKER = {"broker": {"secretName": "rabbitmq"}}
QUEUES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "command": {"command": ["convert", "-", "out.png"], "concurrency": 4, "queue": {"type": "Classic"}},
    "much": {
        "handler": "my_tasks:handle",
        "env": [{"name": "A", "value": "1"}],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "volumes": [{"name": "cache", "emptyDir": {}}],
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        "podLabels": {"team": "pictures"},
        "podAnnotations": {"example.com/a": "b"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "priorityClassName": "low",
        "metricsPort": 9000,
    },
}


def rendered(helm: Helm, chart: Path, values: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The objects of a chart by kind and name."""
    answer = helm.run("template", "thumbnails", str(chart), "--namespace", "demo", "--skip-tests", values=values)
    assert answer.returncode == 0, answer.stderr
    return {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(answer.stdout) if item}


def before(chart: str) -> Path:
    (found,) = BEFORE.glob(f"{chart}-[0-9]*.tgz")
    return found


@pytest.mark.parametrize("name", QUEUES)
def test_no_worker_is_restarted(helm: Helm, name: str) -> None:
    values = {**IMAGE, **BROKER, **QUEUES[name]}
    old, new = (rendered(helm, chart, values) for chart in (before("workqueue"), CHARTS / "workqueue"))
    deployment = ("Deployment", "thumbnails-worker")
    assert new[deployment]["spec"] == old[deployment]["spec"]
    assert new["WorkQueue", "thumbnails"]["spec"] == old["WorkQueue", "thumbnails"]["spec"]
    assert set(new) == set(old)


def test_the_operators_objects_keep_their_names_and_what_cannot_change(helm: Helm) -> None:
    old, new = (rendered(helm, chart, IMAGE) for chart in (before("workqueue-operator"), CHARTS / "workqueue-operator"))
    assert set(old) == set(new)
    deployment = ("Deployment", "thumbnails-workqueue-operator")
    assert new[deployment]["spec"]["selector"] == old[deployment]["spec"]["selector"]


def test_no_field_of_a_workqueue_is_gone(helm: Helm) -> None:
    """What is stored under the old definition stays valid under the new one."""

    def paths(schema: dict[str, Any], path: str = "") -> set[str]:
        inner = {name: f"{path}.{name}" for name in schema.get("properties", {})}
        below = (paths(schema["properties"][name], at) for name, at in inner.items())
        return {*inner.values()}.union(*below)

    old, new = (
        rendered(helm, chart, {})["CustomResourceDefinition", "workqueues.workqueue.dev"]["spec"]["versions"]
        for chart in (before("workqueue-operator"), CHARTS / "workqueue-operator")
    )
    assert [version["name"] for version in old] == [version["name"] for version in new]
    for was, now in zip(old, new, strict=True):
        assert paths(was["schema"]["openAPIV3Schema"]) <= paths(now["schema"]["openAPIV3Schema"])
