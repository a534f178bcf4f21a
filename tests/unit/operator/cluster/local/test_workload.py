"""A Deployment becomes commands, variables and paths of this machine, or an error that says what to write."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from workqueue_operator.cluster.local.manifests import InvalidManifest, Source, read
from workqueue_operator.cluster.local.workload import (
    Image,
    Launch,
    PodFacts,
    Surroundings,
    Workload,
    environment_of_dockerfile,
    is_ours,
    launch,
    repository_of,
    workload_of,
)
from workqueue_operator.resource import Key

WORKQUEUE = """
apiVersion: workqueue.dev/v1alpha1
kind: WorkQueue
metadata: {name: orders}
spec: {broker: {secretName: rabbitmq}, scaleTargetRef: {name: orders-worker}}
"""
OBJECTS = """
apiVersion: v1
kind: Secret
metadata: {name: rabbitmq}
stringData: {uri: "amqp://in-the-cluster", a.key: secret}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {COLOUR: red}
"""
HERE = Surroundings("/venv/bin/python", {"PATH": "/bin"})
WORKER = ["/venv/bin/python", "-m", "workqueue_worker"]


def workload(container: dict[str, Any], surroundings: Surroundings = HERE, **pod: Any) -> Workload:
    container = {"name": "worker", "image": "workqueue-worker:0.1.0", **container}
    template = {
        "metadata": {"labels": {"app": "orders"}, "annotations": {"team/name": "shop"}},
        "spec": {"containers": [container], **pod},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "orders-worker"},
        "spec": {"selector": {"matchLabels": {"app": "orders"}}, "template": template},
    }
    manifests = read([Source("file", f"{WORKQUEUE}---{OBJECTS}---\n{yaml.safe_dump(deployment)}")], "team")
    return workload_of(manifests.specs[Key("team", "orders")], manifests, surroundings)


def launched(container: dict[str, Any], surroundings: Surroundings = HERE, **pod: Any) -> Launch:
    made = workload(container, surroundings, **pod)
    mounts = {path: Path(f"/state{path}") for path in made.mounts}
    return launch(made, made.containers[0], PodFacts("orders-1", "uid-1", 23456, mounts), surroundings)


def variables(env: list[dict[str, Any]], **container: Any) -> dict[str, str]:
    return dict(launched({"env": env, **container}).environment)


def test_our_image_without_a_command_is_the_installed_worker() -> None:
    assert launched({}).command == WORKER
    assert launched({"args": ["--", "sort", "--metrics-port", "7"]}).command == [
        *WORKER,
        *("--", "sort"),
        *("--metrics-port", "7"),
    ]


def test_a_command_of_the_manifest_is_run_whatever_the_image() -> None:
    assert launched({"image": "shop/orders", "command": ["node"], "args": ["work.js"]}).command == ["node", "work.js"]
    assert launched({"command": ["/opt/workqueue/bin/python3", "-V"]}).command == ["/venv/bin/python", "-V"]


@pytest.mark.parametrize(
    ("image", "ours"),
    [
        ("workqueue-worker", True),
        ("registry:5000/team/workqueue-worker:0.1.0@sha256:4f5e", True),
        ("localhost/workqueue/worker:0.1.0", True),
        ("registry/worker:0.1.0", False),
        ("my-workqueue-worker", False),
    ],
)
def test_an_image_of_ours_is_known_by_its_name(image: str, ours: bool) -> None:
    assert is_ours(repository_of(image)) is ours


def test_an_image_that_is_made_from_ours_is_the_worker_in_the_folder_of_its_dockerfile(tmp_path: Path) -> None:
    environment = environment_of_dockerfile('FROM x\nENV WORKER_HANDLER=my_tasks:handle COLOUR="dark red"\n# ENV A=B\n')
    here = Surroundings("/venv/bin/python", {"PATH": "/bin"}, {"shop/orders": Image(tmp_path, environment)})
    found = launched({"image": "shop/orders:v1", "env": [{"name": "COLOUR", "value": "blue"}]}, here)
    assert (found.command, found.folder) == (WORKER, tmp_path)
    assert (found.environment["WORKER_HANDLER"], found.environment["COLOUR"]) == ("my_tasks:handle", "blue")


def test_each_pod_has_a_metrics_port_of_its_own() -> None:
    found = launched(
        {
            "env": [{"name": "METRICS_PORT", "value": "8000"}, {"name": "URL", "value": "http://:$(METRICS_PORT)/"}],
            "args": ["--metrics-port=8000", "--metrics-port", "8000"],
        }
    )
    assert (found.environment["METRICS_PORT"], found.environment["URL"]) == ("23456", "http://:23456/")
    assert found.command == [*WORKER, "--metrics-port=23456", "--metrics-port", "23456"]


def test_variables_come_from_values_secrets_config_maps_and_the_pod() -> None:
    env: list[dict[str, Any]] = [
        {"name": "A", "value": "$(COLOUR) $$(COLOUR) $(NOWHERE)"},
        {"name": "URI", "valueFrom": {"secretKeyRef": {"name": "rabbitmq", "key": "uri"}}},
        {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "NONE", "optional": True}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "TEAM", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['team/name']"}}},
        {"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
    ]
    found = variables(env, envFrom=[{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "rabbitmq"}}])
    wanted = {
        "COLOUR": "red",
        "a.key": "secret",
        "uri": "amqp://in-the-cluster",
        "A": "red $(COLOUR) $(NOWHERE)",
        "URI": "amqp://in-the-cluster",
        "POD": "orders-1",
        "TEAM": "shop",
        "WHERE": "team",
        "HOSTNAME": "orders-1",
        "METRICS_PORT": "23456",
        "PATH": "/bin",
    }
    assert found == wanted


def test_a_path_into_a_mounted_secret_leads_to_its_files_here() -> None:
    mounted = {
        "env": [{"name": "AMQP_SECRET_DIR", "value": "/etc/broker"}, {"name": "OTHER", "value": "/etc/brokers"}],
        "args": ["--ca", "/etc/broker/ca.crt"],
        "volumeMounts": [{"name": "broker", "mountPath": "/etc/broker"}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    volumes = [{"name": "broker", "secret": {"secretName": "rabbitmq"}}, {"name": "tmp", "emptyDir": {}}]
    assert workload(mounted, volumes=volumes).mounts == {
        "/etc/broker": {"uri": b"amqp://in-the-cluster", "a.key": b"secret"}
    }
    found = launched(mounted, volumes=volumes)
    assert found.environment["AMQP_SECRET_DIR"] == "/state/etc/broker"
    assert found.environment["OTHER"] == "/etc/brokers"
    assert found.command[-1] == "/state/etc/broker/ca.crt"


def test_another_broker_takes_the_place_of_one_that_a_variable_names() -> None:
    here = Surroundings("/venv/bin/python", {}, amqp_url="amqp://here")
    assert launched({"env": [{"name": "AMQP_HOST", "value": "there"}]}, here).environment["AMQP_URL"] == "amqp://here"
    assert "AMQP_URL" not in launched({}, here).environment


def test_a_readiness_probe_of_the_metrics_port_is_asked_and_another_one_is_not() -> None:
    ports = [{"name": "metrics", "containerPort": 8000}, {"name": "web", "containerPort": 80}]

    def path_of(port: str | int) -> str | None:
        probe = {"httpGet": {"path": "/readyz", "port": port}, "periodSeconds": 2}
        return workload({"ports": ports, "readinessProbe": probe}).containers[0].ready_path

    assert [path_of(port) for port in ("metrics", 8000, "web", 80)] == ["/readyz", "/readyz", None, None]


def test_what_is_not_run_is_a_note() -> None:
    made = workload({}, initContainers=[{"name": "migrate"}], volumes=[{"name": "disk", "hostPath": {"path": "/"}}])
    assert list(made.notes) == [
        "orders-worker: the init container migrate is not run",
        "orders-worker: the volume disk is not mounted",
    ]


CONTAINER = "Deployment team/orders-worker: spec.template.spec.containers[0]"


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({"image": "shop/orders:v1"}, f"{CONTAINER} (worker) has the image shop/orders:v1 and no command."),
        ({"image": "shop/orders:v1"}, "--image shop/orders=FOLDER"),
        ({"command": ["sleep", 5]}, "command must be a list of texts, in quotation marks where they are numbers"),
        ({"workingDir": "/no/such/folder"}, f"{CONTAINER}.workingDir is /no/such/folder"),
        ({"env": [{"name": "A", "value": 5}]}, f"{CONTAINER}.env[0].value is 5, no text: put it into quotation marks"),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "rabbitmq", "key": "none"}}}]},
            f"{CONTAINER}.env[0].valueFrom.secretKeyRef: Secret rabbitmq has no key none: add it",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]},
            f"{CONTAINER}.env[0] (A): valueFrom.resourceFieldRef has no meaning here: write a value",
        ),
        (
            {"envFrom": [{"secretRef": {"name": "nowhere"}}]},
            f"{CONTAINER}.envFrom[0].secretRef names Secret nowhere, and no file has it: add its manifest",
        ),
    ],
)
def test_what_cannot_be_run_names_the_field_and_what_to_write(container: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidManifest) as raised:
        workload(container)
    assert words in str(raised.value)
