"""The programs of `make demo` and `make clean-demo`: what they show, and what they leave.

They run in a namespace of the tests: a person's own demo may be on the cluster before, during and after them.
"""

import json
import re
import subprocess
import sys
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest

from dev.kube import CHECKOUT, Kube, Proxy
from dev.operators import DEMO_NAMESPACE, TESTS_DEMO_NAMESPACE
from tests.support.waiting import wait_until


def run(program: str) -> str:
    """What it printed, without a terminal."""
    command = [sys.executable, "-m", f"dev.{program}", "--namespace", TESTS_DEMO_NAMESPACE]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout


def objects(kube: Kube, namespace: str) -> set[tuple[str, str]]:
    """What a namespace holds and runs."""
    found = [one["metadata"] for one in kube.get("deployments,statefulsets,wq,secrets", "-n", namespace)["items"]]
    return {(one["name"], one["uid"]) for one in found}


def asked(proxy: Proxy, path: str) -> Any:
    """What the demo's Prometheus answers; None while it does not."""
    service = f"/api/v1/namespaces/{TESTS_DEMO_NAMESPACE}/services/prometheus:9090"
    answer = proxy.text(f"{service}/proxy/api/v1/{path}")
    return None if answer is None else json.loads(answer)["data"]


def values(proxy: Proxy, query: str) -> list[str] | None:
    """The numbers of a query's series; None: there is no series."""
    answer = asked(proxy, f"query?query={quote(query)}")
    return [one["value"][1] for one in answer["result"]] or None if answer else None


def assert_prometheus_sees_operator_workers_and_broker(kube: Kube) -> None:
    of_the_demo = f'namespace="{TESTS_DEMO_NAMESPACE}"'
    kube.kubectl("scale", "-n", TESTS_DEMO_NAMESPACE, "deployment/thumbnails-worker", "--replicas=1")
    with kube.proxy() as proxy:
        for query in (
            f'workqueue_operator_replicas{{{of_the_demo},workqueue="thumbnails"}}',
            f'workqueue_worker_slots{{{of_the_demo},queue="task_queue"}}',
            f"rabbitmq_queues{{{of_the_demo}}}",
        ):
            found = wait_until(partial(values, proxy, query), 120, f"Prometheus answers {query}")
            assert len(found) == 1, f"{query} is scraped twice"
        rules = [rule for group in asked(proxy, "rules")["groups"] for rule in group["rules"]]
        assert "WorkQueueNoProgress" in {rule["name"] for rule in rules}
        wait_until(
            lambda: not values(proxy, 'ALERTS{severity="critical"}'), 60, "no critical alert, not even a pending one"
        )
        evaluated = [rule for group in asked(proxy, "rules")["groups"] for rule in group["rules"]]
        assert {rule["health"] for rule in evaluated} <= {"ok", "unknown"}, [
            (rule["name"], rule.get("lastError")) for rule in evaluated
        ]


@pytest.mark.timeout(900)
def test_the_demo_does_its_sixty_tasks_and_is_removed_and_only_that(kube: Kube, operator: str) -> None:
    """Beside the tests' operator, and a person's demo where there is one."""
    watched = [name for name in (operator, DEMO_NAMESPACE) if kube.exists("namespace", name)]
    before = {name: objects(kube, name) for name in watched}
    try:
        printed = run("demo")
        shown = dict(re.findall(r"│ ([a-z][a-z (-]+[a-z)]) +│ (.+?) +│", printed))
        assert f"port-forward -n {TESTS_DEMO_NAMESPACE} service/prometheus 9090" in run("demo_grafana")
        assert_prometheus_sees_operator_workers_and_broker(kube)
    finally:
        removed = run("clean_demo")
    numbers = {name: int(value) for name, value in shown.items() if value.isdecimal()}
    assert numbers.pop("peak replicas") == 12
    assert numbers == {
        "tasks sent (confirmed by the broker)": 60,
        "tasks acked": 60,
        "tasks redelivered": 0,
        "tasks dead-lettered": 0,
        "busy workers stopped": 0,
    }
    assert re.fullmatch(r"\d+\.\d+ s", shown["first publish to first scale"])
    assert "Dashboards: WorkQueue / Fleet" in printed
    assert "make demo-grafana" in printed
    assert f"Removed namespace {TESTS_DEMO_NAMESPACE} and all in it." in removed
    assert "The definition of WorkQueue stays" in removed
    assert not kube.exists("namespace", TESTS_DEMO_NAMESPACE)
    assert {name: before[name] - objects(kube, name) for name in watched} == {name: set() for name in watched}
    assert f"There is no namespace {TESTS_DEMO_NAMESPACE}" in run("clean_demo")
