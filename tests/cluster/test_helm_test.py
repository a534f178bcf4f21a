"""`helm test` of both charts on a real cluster, with and without workers, and where something is missing."""

import subprocess
from collections.abc import Callable

from dev.kube import Kube
from tests.support.waiting import wait_until
from tests.support.work import BROKER, SERVED, SYSTEM, Work

Program = Callable[..., subprocess.CompletedProcess[str]]


def test_the_operators(helm: Program, kube: Kube) -> None:
    answer = helm("test", "operator", "-n", SYSTEM, "--timeout", "120s")
    assert "/healthz: 200" in answer.stdout + answer.stderr
    assert f"namespaces/{SERVED}/workqueues: 200" in answer.stdout + answer.stderr
    assert not kube.exists("pods", "-n", SYSTEM, "-l", "app.kubernetes.io/component=test")


def test_the_workers(helm: Program, kube: Kube, work: Work) -> None:
    work.install(scaling__minReplicas=1)
    wait_until(lambda: len(work.tasks_in_progress()) == 1, 120, "a worker answers")
    answer = helm("test", work.name, "-n", work.namespace, "--timeout", "120s")
    assert ":8000: workqueue_tasks_in_progress{" in answer.stdout + answer.stderr
    assert not kube.exists("pods,services", "-n", work.namespace, "-l", "app.kubernetes.io/component=test")


def test_a_queue_without_a_worker_passes_and_says_so(helm: Program, work: Work) -> None:
    work.install()
    work.settle()
    answer = helm("test", work.name, "-n", work.namespace, "--timeout", "120s")
    assert "no worker runs now, so none was asked" in answer.stdout + answer.stderr


def test_a_login_that_the_broker_refuses_fails(helm: Program, kube: Kube, work: Work) -> None:
    work.install(wait=False, broker__secretName="refused", mode="Paused")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "refused", "namespace": work.namespace}}
    kube.apply({**secret, "stringData": {"uri": f"amqp://stranger:wrong@rabbitmq.{BROKER}:5672/%2F"}})
    answer = helm("test", work.name, "-n", work.namespace, "--timeout", "120s", check=False)
    assert answer.returncode != 0
