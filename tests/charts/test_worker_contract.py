"""What the chart of a queue promises its workers: environment, Secret, time to finish, and a number of its own."""

from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.support.helm import Helm, Manifest, Pick

CHARTS = Path(__file__).parents[2] / "charts"
BROKER = {"broker": {"secretName": "rabbitmq"}}


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    """The only container."""
    containers: list[Manifest] = deployment["spec"]["template"]["spec"]["containers"]
    (found,) = containers
    return found


def environment(deployment: dict[str, Any]) -> dict[str, str]:
    """Its environment; a name that is there twice is an error."""
    pairs = [(item["name"], item["value"]) for item in container(deployment)["env"]]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


class Render(Protocol):
    """Deployment and WorkQueue of an install with these values."""

    def __call__(self, values: Manifest | None = None) -> tuple[Manifest, Manifest]: ...


@pytest.fixture
def render(helm: Helm) -> Render:
    """Both objects of an install, with the Deployment first."""

    def objects(values: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        by_kind = {item["kind"]: item for item in helm.template("workqueue", {**BROKER, **(values or {})})}
        assert set(by_kind) == {"Deployment", "WorkQueue"}
        return by_kind["Deployment"], by_kind["WorkQueue"]

    return objects


def test_environment_with_the_defaults(render: Render) -> None:
    deployment, _ = render()
    assert environment(deployment) == {
        "AMQP_SECRET_DIR": "/etc/workqueue/broker",
        "QUEUE_NAME": "thumbnails",
        "QUEUE_TYPE": "Quorum",
        "QUEUE_DECLARE": "Create",
        "DEAD_LETTER_QUEUE": "thumbnails.dead",
        "TASK_TIMEOUT_SECONDS": "600",
        "WORKER_GRACE_PERIOD_SECONDS": "610",
        "WORKER_CONCURRENCY": "1",
        "WORKER_MAX_ATTEMPTS": "5",
        "METRICS_PORT": "8000",
        "LOG_FORMAT": "json",
    }
    assert "args" not in container(deployment)
    assert "command" not in container(deployment)


def test_workers_and_operator_get_the_same_settings(render: Render) -> None:
    values = {
        "queue": {"name": "task_queue", "type": "Classic", "declare": "Never", "deadLetterQueue": "lost"},
        "taskTimeoutSeconds": 30,
        "metricsPort": 9000,
    }
    deployment, workqueue = render(values)
    env, spec = environment(deployment), workqueue["spec"]
    assert spec["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert spec["queue"]["name"] == env["QUEUE_NAME"] == "task_queue"
    assert spec["queue"]["type"] == env["QUEUE_TYPE"] == "Classic"
    assert spec["queue"]["declare"] == env["QUEUE_DECLARE"] == "Never"
    assert spec["queue"]["deadLetterQueue"] == env["DEAD_LETTER_QUEUE"] == "lost"
    assert str(spec["taskTimeoutSeconds"]) == env["TASK_TIMEOUT_SECONDS"] == "30"
    assert str(spec["workers"]["metricsPort"]) == env["METRICS_PORT"] == "9000"
    assert container(deployment)["ports"] == [{"name": "metrics", "containerPort": 9000}]


@pytest.mark.parametrize("seconds", [1, 600, 86_400])
def test_a_worker_has_15_seconds_more_than_its_longest_task(render: Render, seconds: int) -> None:
    deployment, _ = render({"taskTimeoutSeconds": seconds})
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == seconds + 15
    assert environment(deployment)["WORKER_GRACE_PERIOD_SECONDS"] == str(seconds + 10)


@pytest.mark.parametrize("release_is", ["new", "upgraded"])
def test_the_number_of_workers_is_never_written(helm: Helm, one: Pick, release_is: str) -> None:
    """Also not once: a field that is dropped later is reset to 1 by the API server, and workers are interrupted."""
    for minimum in (0, 3):
        values = {**BROKER, "scaling": {"minReplicas": minimum}}
        arguments = ["--is-upgrade"] if release_is == "upgraded" else []
        answer = helm.run("template", "thumbnails", str(CHARTS / "workqueue"), *arguments, values=values)
        assert answer.returncode == 0, answer.stderr
        assert "replicas:" not in answer.stdout


def test_the_broker_secret_is_mounted_for_any_user(render: Render) -> None:
    deployment, workqueue = render()
    (volume,) = [item for item in deployment["spec"]["template"]["spec"]["volumes"] if "secret" in item]
    assert volume["secret"] == {"secretName": "rabbitmq", "defaultMode": 0o444}
    (mount,) = [item for item in container(deployment)["volumeMounts"] if item["name"] == volume["name"]]
    assert mount == {"name": volume["name"], "mountPath": "/etc/workqueue/broker", "readOnly": True}
    assert environment(deployment)["AMQP_SECRET_DIR"] == mount["mountPath"]
    assert workqueue["spec"]["broker"]["secretName"] == "rabbitmq"


def test_a_program_gets_its_arguments_as_they_are(render: Render) -> None:
    command = ["convert", "-resize", "10%", "- $(HOME) 'a b' {{ .Values }}", "007"]
    deployment, _ = render({"command": command})
    assert container(deployment)["args"] == ["--", *command]


def test_a_handler_is_named_in_the_environment(render: Render) -> None:
    deployment, _ = render({"handler": "my_tasks:resize"})
    assert environment(deployment)["WORKER_HANDLER"] == "my_tasks:resize"


def test_probes_ask_the_worker_itself(render: Render) -> None:
    worker = container(render()[0])
    assert worker["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert worker["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert {worker[probe]["timeoutSeconds"] for probe in ("livenessProbe", "readinessProbe")} == {5}


def test_scaling_goes_through_as_it_is(render: Render) -> None:
    scaling = {"minReplicas": 2, "maxReplicas": 9, "messagesPerReplica": 1, "fallback": {"replicas": 3}}
    assert render({"scaling": scaling})[1]["spec"]["scaling"] == scaling
