"""Names: those that look like numbers or truth values stay names, and two queues in one release are two queues."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.helm import Helm, Manifest, Pick

CHARTS = Path(__file__).parents[2] / "charts"
BROKER = {"broker": {"secretName": "rabbitmq"}}
ODD = ("2024", "1234", "0x1f", "1e3", "true", "null")


def texts(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every value that the API server takes as text, with its path."""
    if isinstance(value, dict):
        return [found for name, each in value.items() for found in texts(each, f"{path}.{name}")]
    if isinstance(value, list):
        return [found for each in value for found in texts(each, path)]
    named = path.rsplit(".", 1)[-1]
    labels = any(part in path for part in (".labels.", ".matchLabels.", ".selector.app"))
    return [(path, value)] if labels or named.endswith(("name", "Name", "namespace")) else []


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("chart", ["workqueue", "workqueue-operator"])
def test_a_name_that_looks_like_a_number_stays_a_name(helm: Helm, chart: str, odd: str) -> None:
    values: dict[str, Any] = {"fullnameOverride": odd}
    if chart == "workqueue":
        values |= {"broker": {"secretName": odd}, "serviceAccountName": odd, "priorityClassName": odd}
        values |= {"podMonitor": {"enabled": True}, "queue": {"name": odd, "deadLetterQueue": f"{odd}1"}}
    else:
        values |= {"watchNamespaces": [odd], "serviceMonitor": {"enabled": True}}
    answer = helm.run("template", odd, str(CHARTS / chart), "--namespace", odd, values=values)
    assert answer.returncode == 0, answer.stderr
    found = [one for item in yaml.safe_load_all(answer.stdout) if item for one in texts(item)]
    assert len(found) > 20
    assert [one for one in found if not isinstance(one[1], str)] == []


@pytest.fixture
def umbrella(helm: Helm, tmp_path: Path) -> Callable[[Manifest], list[Manifest]]:
    """The objects of one release of a chart that has the queue's chart twice, under two aliases."""

    def render(values: dict[str, Any]) -> list[dict[str, Any]]:
        chart = tmp_path / "shop"
        shutil.copytree(CHARTS / "workqueue", chart / "charts" / "workqueue")
        dependencies = [{"name": "workqueue", "version": ">=0", "alias": alias} for alias in ("mail", "thumbs")]
        about = {"apiVersion": "v2", "name": "shop", "version": "1.0.0", "dependencies": dependencies}
        (chart / "Chart.yaml").write_text(yaml.safe_dump(about))
        answer = helm.run("template", "shop", str(chart), "--namespace", "demo", values=values)
        assert answer.returncode == 0, answer.stderr
        return [item for item in yaml.safe_load_all(answer.stdout) if item]

    return render


@pytest.mark.parametrize("override", [False, True], ids=["by alias", "by fullnameOverride"])
def test_two_queues_in_one_release_have_names_and_workers_of_their_own(
    umbrella: Callable[[Manifest], list[Manifest]], override: bool
) -> None:
    values: dict[str, Any] = {"mail": dict(BROKER), "thumbs": dict(BROKER)}
    if override:
        values = {alias: {**BROKER, "fullnameOverride": f"shop-{alias}"} for alias in values}
    objects = umbrella(values)
    queues = {item["metadata"]["name"]: item["spec"] for item in objects if item["kind"] == "WorkQueue"}
    workers = {item["metadata"]["name"]: item["spec"] for item in objects if item["kind"] == "Deployment"}
    assert set(queues) == {"shop-mail", "shop-thumbs"}
    assert {spec["queue"]["name"] for spec in queues.values()} == set(queues)
    assert {spec["scaleTargetRef"]["name"] for spec in queues.values()} == set(workers)
    one, other = (spec["selector"]["matchLabels"] for spec in workers.values())
    for selector, spec in zip((one, other), reversed(workers.values()), strict=True):
        assert not selector.items() <= spec["template"]["metadata"]["labels"].items(), "it chooses the other's pods"


def test_an_alone_release_is_named_after_itself(helm: Helm, one: Pick) -> None:
    deployment = one(helm.template("workqueue", BROKER), "Deployment")
    assert deployment["metadata"]["name"] == "thumbnails-worker"
    assert deployment["spec"]["selector"]["matchLabels"] == {
        "app.kubernetes.io/name": "workqueue-worker",
        "app.kubernetes.io/instance": "thumbnails",
    }


def test_a_name_without_room_for_its_workers_is_refused(helm: Helm) -> None:
    chart = str(CHARTS / "workqueue")
    assert helm.run("template", "x" * 53, chart, values=BROKER).returncode == 0
    assert "fullnameOverride" in helm.refusal("workqueue", {**BROKER, "fullnameOverride": "x" * 57})
