"""One of the served namespaces is deleted, with the operator's Role in it, and comes back."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from dev.kube import Kube, Proxy, copy_broker_secret
from tests.support.waiting import wait_until
from tests.support.work import (
    DELETED,
    SERVED,
    SYSTEM,
    TESTS,
    Work,
    install_operator,
    make_namespace,
    operator_metrics,
    operator_pod,
)

FAILURES = 'workqueue_operator_loop_failures_total{loop="watch"}'


def identity(pod: dict[str, Any]) -> tuple[str, int]:
    """Another one, or a restart, is another process."""
    return pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]


def serve_both(kube: Kube, broker: str) -> None:
    """As after `kubectl create namespace` and `helm upgrade`, which brings the Role there."""
    make_namespace(kube, DELETED)
    copy_broker_secret(DELETED, broker)
    install_operator(kube, namespaces=(SERVED, DELETED))


@pytest.fixture
def other(kube: Kube, proxy: Proxy, operator: str, rabbitmq: str) -> Iterator[Work]:
    """A WorkQueue in a second namespace that the same operator serves."""
    serve_both(kube, rabbitmq)
    yield Work(kube, proxy, DELETED, f"gone-{secrets.token_hex(3)}")
    install_operator(kube)
    kube.remove_namespace(DELETED, TESTS)


@pytest.mark.timeout(600)
def test_a_deleted_namespace_takes_the_operator_away_from_no_other(
    work: Work, other: Work, kube: Kube, proxy: Proxy, rabbitmq: str
) -> None:
    work.install()
    other.install()
    wait_until(lambda: work.replicas() == 0, 60, "no worker is wanted")
    before = identity(operator_pod(proxy))
    kube.remove_namespace(DELETED, TESTS)
    wait_until(
        lambda: operator_metrics(proxy)[FAILURES] >= 2, 180, "the watch of the namespace was refused, and tried again"
    )
    gone = f'workqueue_operator_queue_observed{{namespace="{DELETED}",workqueue="{other.name}"}}'
    page = operator_metrics(proxy)
    assert gone not in page
    watched = {name: page[f'workqueue_operator_namespace_watched{{namespace="{name}"}}'] for name in (SERVED, DELETED)}
    assert watched == {SERVED: 1, DELETED: 0}
    pod = operator_pod(proxy)["metadata"]["name"]
    health = proxy.text(f"/api/v1/namespaces/{SYSTEM}/pods/{pod}:8080/proxy/healthz") or ""
    assert "1 failed and run again: watch" in health.splitlines()
    work.send(["Task."] * 20)
    wait_until(lambda: work.replicas() >= 4, 60, "the other namespace is scaled")

    serve_both(kube, rabbitmq)
    other.install()  # waits until it is Ready, so it is served
    other.send(["Task."] * 20)
    wait_until(lambda: other.replicas() >= 4, 60, "the namespace that came back is scaled")
    assert identity(operator_pod(proxy)) == before, kube.kubectl("logs", "-n", SYSTEM, pod, "--previous")
