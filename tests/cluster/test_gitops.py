"""How tools that wait for a WorkQueue see it: Helm 4 has kstatus built in, as Flux has."""

import subprocess
from collections.abc import Callable

from dev.kube import Kube, image_settings
from tests.support.waiting import wait_until
from tests.support.work import CHECKOUT, Work

Program = Callable[..., subprocess.CompletedProcess[str]]


def install_and_wait(helm: Program, work: Work, *, seconds: int) -> subprocess.CompletedProcess[str]:
    chart = str(CHECKOUT / "charts" / "workqueue")
    settings = ("--set", f"broker.secretName=rabbitmq,queue.name={work.queue},resources.requests.cpu=10m")
    wait = ("--wait", "--timeout", f"{seconds}s")
    arguments = ("-n", work.namespace, *image_settings("worker"), *settings, *wait)
    return helm("install", work.name, chart, *arguments, check=False)


def test_who_waits_gets_a_workqueue_that_is_ready(helm: Program, work: Work) -> None:
    answer = install_and_wait(helm, work, seconds=180)
    assert answer.returncode == 0, answer.stderr
    ready = work.condition("Ready")
    assert ready is not None
    assert ready["status"] == "True"


def test_who_waits_for_what_only_a_person_can_change_gets_the_reason_and_no_timeout(
    helm: Program, kube: Kube, work: Work
) -> None:
    older = Work(kube, work.proxy, work.namespace, "first")  # of two of one second the first by name is the older one
    spec = {"broker": {"secretName": "rabbitmq"}, "queue": {"name": f"first-{work.queue}"}}
    target = {"scaleTargetRef": {"name": f"{work.name}-worker"}}
    metadata = {"name": older.name, "namespace": older.namespace}
    kube.apply(
        {"apiVersion": "workqueue.dev/v1alpha1", "kind": "WorkQueue", "metadata": metadata, "spec": spec | target}
    )
    wait_until(lambda: older.condition("Ready"), 60, "the operator knows the older one")
    answer = install_and_wait(helm, work, seconds=240)
    assert answer.returncode != 0
    stalled = work.condition("Stalled")
    assert stalled is not None
    assert (stalled["status"], stalled["reason"]) == ("True", "TargetConflict")
    assert f"WorkQueue/{work.namespace}/{work.name}" in answer.stderr, answer.stderr
    assert "deadline exceeded" not in answer.stderr
