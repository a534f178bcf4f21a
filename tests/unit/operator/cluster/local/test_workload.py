"""A Deployment becomes commands and variables of this machine, or an error that says what to write."""

from pathlib import Path
from typing import Any

import pytest
from workqueue_operator.cluster.local.image import Image, environment_of_dockerfile
from workqueue_operator.cluster.local.manifests import InvalidManifest
from workqueue_operator.cluster.local.workload import Surroundings

from tests.support.workloads import WORKER, launched, workload


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


def test_an_image_that_is_made_from_ours_is_the_worker_in_the_folder_of_its_dockerfile(tmp_path: Path) -> None:
    environment = environment_of_dockerfile('FROM x\nENV WORKER_HANDLER=my_tasks:handle COLOUR="dark red"\n# ENV A=B\n')
    here = Surroundings("/venv/bin/python", {"PATH": "/bin"}, {"shop/orders": Image(tmp_path, environment)})
    found = launched({"image": "shop/orders:v1", "env": [{"name": "COLOUR", "value": "blue"}]}, here)
    assert (found.command, found.folder) == (WORKER, tmp_path)
    assert (found.environment["WORKER_HANDLER"], found.environment["COLOUR"]) == ("my_tasks:handle", "blue")


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
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": ["a", "list"]}}}]},
            f"{CONTAINER}.env[0] (A): valueFrom.fieldRef ['a', 'list'] has no meaning here: write a value",
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
