"""An upgrade of the queue's chart on a real API server: it leaves the number of workers alone, and the queue's name."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

CHART = str(Path(__file__).parents[2] / "charts" / "workqueue")

#: kubectl and helm with their arguments, on the cluster of the tests; `check=False` gives a failure back.
Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=["server-side", "client-side"])
def upgrade(request, helm: Program, unserved_namespace: str) -> Program:
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


def test_it_keeps_the_number_of_workers(kubectl, unserved_namespace, upgrade, deployment):
    kubectl("scale", "deployment", "tasks-worker", "-n", unserved_namespace, "--replicas=3")
    upgrade("image.tag=elsewhere,scaling.minReplicas=2")
    assert deployment(".spec.template.spec.containers[0].image").endswith(":elsewhere")
    assert deployment(".spec.replicas") == "3"


@pytest.mark.parametrize("values", ["queue.name=other", "queue.type=Classic"])
def test_another_queue_is_refused_before_the_workers_are_sent_there(upgrade, deployment, values):
    before = deployment(".metadata.generation")
    answer = upgrade(values, check=False)
    assert answer.returncode != 0
    assert f"{values.partition('=')[0]} cannot change" in answer.stderr
    assert deployment(".metadata.generation") == before
