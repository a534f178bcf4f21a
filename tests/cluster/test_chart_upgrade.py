"""Upgrades of the charts on a real API server: workers keep their number and their pods, and a queue keeps its name."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.kube import Kube, image_settings, total
from dev.operators import definition_settings
from tests.support.waiting import wait_until
from tests.support.work import SERVED, SYSTEM, Work, install_operator, is_going, operator_metrics

CHART = str(Path(__file__).parents[2] / "charts" / "workqueue")
BEFORE = Path(__file__).parents[1] / "charts" / "upgrade_from"

#: kubectl and helm with their arguments, on the cluster of the tests; `check=False` gives a failure back.
Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=["server-side", "client-side"])
def upgrade(request: pytest.FixtureRequest, helm: Program, unserved_namespace: str) -> Program:
    """Install a release that no operator touches (Paused) and whose image is nowhere; returns its upgrade."""
    server_side = f"--server-side={'true' if request.param == 'server-side' else 'false'}"
    settings = (CHART, "-n", unserved_namespace, server_side, "--set", "broker.secretName=none,mode=Paused")
    helm("install", "tasks", *settings, "--set", "image.tag=nowhere")

    def run(values: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        return helm("upgrade", "tasks", *settings, "--set", values, check=check)

    return run


@pytest.fixture
def deployment(kubectl: Program, unserved_namespace: str) -> Callable[[str], str]:
    """A field of the workers' Deployment."""

    def read(path: str) -> str:
        return kubectl(
            "get", "deployment", "tasks-worker", "-n", unserved_namespace, "-o", f"jsonpath={{{path}}}"
        ).stdout

    return read


def test_it_keeps_the_number_of_workers(
    kubectl: Program, unserved_namespace: str, upgrade: Program, deployment: Callable[[str], str]
) -> None:
    kubectl("scale", "deployment", "tasks-worker", "-n", unserved_namespace, "--replicas=3")
    upgrade("image.tag=elsewhere,scaling.minReplicas=2")
    assert deployment(".spec.template.spec.containers[0].image").endswith(":elsewhere")
    assert deployment(".spec.replicas") == "3"


@pytest.mark.parametrize("values", ["queue.name=other", "queue.type=Classic"])
def test_another_queue_is_refused_before_the_workers_are_sent_there(
    upgrade: Program, deployment: Callable[[str], str], values: str
) -> None:
    before = deployment(".metadata.generation")
    answer = upgrade(values, check=False)
    assert answer.returncode != 0
    assert f"{values.partition('=')[0]} cannot change" in answer.stderr
    assert deployment(".metadata.generation") == before


@pytest.mark.alone  # for a while the cluster has the definition of before
@pytest.mark.timeout(540)
def test_both_charts_upgrade_under_load_without_a_restart_or_a_scale_down(work: Work, kube: Kube) -> None:
    """From the charts in tests/charts/upgrade_from, with the same images: only what the charts hold changes."""
    try:
        packaged(kube, "workqueue-operator", "operator", SYSTEM, *operator_settings(kube))
        settings = (*image_settings("worker"), *queue_settings(work))
        packaged(kube, "workqueue", work.name, work.namespace, *settings)
        work.wait_until_ready()
        work.send(["Task" + "." * 100] * 24)  # ten minutes for four workers
        wait_until(lambda: len(work.tasks_in_progress()) == 4, 120, "four workers are at work")
        before = pods(work)
        kube.install(work.name, "workqueue", work.namespace, *settings)
        install_operator(kube, *definition_settings(kube))
        revision = work.kube.helm("get", "metadata", work.name, "-n", work.namespace)
        assert "REVISION: 2" in " ".join(revision.split()).upper()
        wait_until(lambda: seen_again(work), 120, "the new operator has looked")
        busy = work.tasks_in_progress()
        assert busy == dict.fromkeys(before, 1), "the load lasted for the whole upgrade"
        assert pods(work) == before
        assert work.replicas() == 4
        assert not [one for one in work.status()["recentDecisions"] if "4 ->" in one["message"]]
        assert not work.dead_lettered()
    finally:
        install_operator(kube, *definition_settings(kube))


def packaged(kube: Kube, chart: str, release: str, namespace: str, *settings: str) -> None:
    """Install the chart to upgrade from."""
    (package,) = BEFORE.glob(f"{chart}-[0-9]*.tgz")
    kube.helm("upgrade", "--install", release, str(package), "-n", namespace, *settings)


def operator_settings(kube: Kube) -> tuple[str, ...]:
    chosen = (*image_settings("operator"), *definition_settings(kube), "--set", f"watchNamespaces={{{SERVED}}}")
    return (*chosen, "--wait", "--timeout", "180s")


def queue_settings(work: Work) -> tuple[str, ...]:
    values = {
        "broker.secretName": "rabbitmq",
        "queue.name": work.queue,
        "taskTimeoutSeconds": 120,
        "resources.requests.cpu": "10m",
        "scaling.maxReplicas": 4,
        "scaling.scaleDown.stabilizationWindowSeconds": 2,
    }
    return tuple(flag for name, value in values.items() for flag in ("--set", f"{name}={value}"))


def pods(work: Work) -> dict[str, tuple[str, int]]:
    """By name, the uid and the restarts of each."""
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            sum(one["restartCount"] for one in pod["status"].get("containerStatuses", [])),
        )
        for pod in work.pods()
        if not is_going(pod)  # one of a scale-down before the load
    }


def seen_again(work: Work) -> bool:
    """Whether the operator that runs now has the WorkQueue in its metrics."""
    return total(operator_metrics(work.proxy), "workqueue_operator_desired_replicas") == 4
