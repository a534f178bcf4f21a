"""examples/monitoring: what it applies fits the charts that it is put beside, and each other.

Prometheus runs with this very configuration in tests/cluster/test_demo.py. Grafana does not run in any test.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.images import OFFICIAL
from tests.support.helm import Helm, Pick
from tests.support.kubernetes_schemas import problems
from tests.support.prometheus_server import Promtool

EXAMPLE = Path(__file__).parents[2] / "examples" / "monitoring"
RELEASE = "workqueue-operator"  # the demo's

Manifest = dict[str, Any]


def objects() -> list[Manifest]:
    return [item for path in sorted(EXAMPLE.glob("*.yaml")) for item in yaml.safe_load_all(path.read_text())]


def found(kind: str, name: str) -> Manifest:
    (item,) = [item for item in objects() if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return item


def pod_of(name: str) -> Manifest:
    spec: Manifest = found("Deployment", name)["spec"]["template"]["spec"]
    return spec


def prometheus_yml() -> Manifest:
    return dict(yaml.safe_load(found("ConfigMap", "prometheus")["data"]["prometheus.yml"]))


def grafana_file(name: str) -> Manifest:
    return dict(yaml.safe_load(found("ConfigMap", "grafana")["data"][name]))


def config_maps(volumes: list[Manifest]) -> Iterator[Manifest]:
    for volume in volumes:
        yield from (volume["configMap"] for _ in [0] if "configMap" in volume)
        yield from (source["configMap"] for source in volume.get("projected", {}).get("sources", ()))


@pytest.fixture
def dashboards(helm: Helm) -> dict[str, set[str]]:
    """The files of each ConfigMap of dashboards, as the demo installs them."""
    made = helm.template("workqueue-operator", {"dashboards": {"enabled": True}}, release=RELEASE)
    return {item["metadata"]["name"]: set(item["data"]) for item in made if item["kind"] == "ConfigMap"}


@pytest.mark.parametrize(
    "item", [pytest.param(item, id=f"{item['kind']} {item['metadata']['name']}") for item in objects()]
)
def test_objects_are_valid_and_of_one_namespace(item: Manifest) -> None:
    for version in ("1.30", "1.37"):
        assert problems(item, version) == []
    assert item["metadata"]["namespace"] == "workqueue-demo"


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_pods_are_allowed_where_pod_security_is_restricted(name: str) -> None:
    pod = pod_of(name)
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_images_are_those_that_the_demo_provides_and_none_has_a_floating_tag() -> None:
    assert pod_of("prometheus")["containers"][0]["image"] == OFFICIAL["prometheus"]
    assert pod_of("grafana")["containers"][0]["image"].rpartition(":")[2].count(".") == 2


def test_services_lead_to_the_ports_of_their_pods() -> None:
    for name in ("prometheus", "grafana"):
        (port,) = found("Service", name)["spec"]["ports"]
        (container_port,) = pod_of(name)["containers"][0]["ports"]
        assert (port["targetPort"], port["port"]) == (container_port["name"], container_port["containerPort"])
        labels = found("Deployment", name)["spec"]["template"]["metadata"]["labels"]
        assert found("Service", name)["spec"]["selector"].items() <= labels.items()


def test_prometheus_accepts_its_configuration(promtool: Promtool, tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(prometheus_yml()))
    done = promtool("check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("chart", "values"), [("workqueue-operator", {}), ("workqueue", {"broker": {"secretName": "rabbitmq"}})]
)
def test_the_pods_of_both_charts_are_scraped(helm: Helm, one: Pick, chart: str, values: Manifest) -> None:
    service = found("Service", "workqueue-metrics")["spec"]
    (job,) = [job for job in prometheus_yml()["scrape_configs"] if job["job_name"] == "workqueue"]
    (asked,) = job["dns_sd_configs"][0]["names"]
    assert asked == f"_{service['ports'][0]['name']}._tcp.workqueue-metrics.workqueue-demo.svc"
    assert service["clusterIP"] == "None", "DNS names pods of headless Services alone"
    pod = one(helm.template(chart, values), "Deployment")["spec"]["template"]
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    assert [port["name"] for port in pod["spec"]["containers"][0]["ports"]] == [service["ports"][0]["targetPort"]]
    assert job["honor_labels"] is True, "else exported_namespace hides the namespace of the WorkQueue"


def test_grafana_shows_each_dashboard_of_the_chart(dashboards: dict[str, set[str]]) -> None:
    pod = pod_of("grafana")
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "dashboards"]
    assert {source["name"] for source in config_maps([volume])} == set(dashboards)
    (mounted,) = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "dashboards"]
    (provider,) = grafana_file("dashboards.yaml")["providers"]
    assert provider["options"]["path"] == mounted
    home = {one["name"]: one["value"] for one in pod["containers"][0]["env"]}[
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"
    ]
    assert home in {f"{mounted}/{file}" for files in dashboards.values() for file in files}


def test_grafana_asks_the_prometheus_beside_it_as_often_as_that_scrapes() -> None:
    (source,) = grafana_file("datasources.yaml")["datasources"]
    (port,) = found("Service", "prometheus")["spec"]["ports"]
    assert (source["type"], source["url"]) == ("prometheus", f"http://prometheus:{port['port']}")
    assert source["jsonData"]["timeInterval"] == prometheus_yml()["global"]["scrape_interval"]


def test_each_config_map_that_is_mounted_is_there_or_may_be_missing(dashboards: dict[str, set[str]]) -> None:
    there = {item["metadata"]["name"] for item in objects() if item["kind"] == "ConfigMap"} | set(dashboards)
    for name in ("prometheus", "grafana"):
        for source in config_maps(pod_of(name)["volumes"]):
            assert source["name"] in there or source.get("optional"), source
