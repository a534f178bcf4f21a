"""The programs of `make demo` and `make clean-demo`: what they show, and what they leave.

They run in a namespace of the tests: a person's own demo may be on the cluster, before, after and meanwhile.
"""

import re
import subprocess
import sys

import pytest
from kube import CHECKOUT, Kube
from operators import DEMO_NAMESPACE, TESTS_DEMO_NAMESPACE


def run(program: str) -> str:
    """What it printed, without a terminal."""
    command = [sys.executable, f"dev/{program}", "--namespace", TESTS_DEMO_NAMESPACE]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout


def objects(kube: Kube, namespace: str) -> set[tuple[str, str]]:
    """What a namespace holds and runs."""
    found = [one["metadata"] for one in kube.get("deployments,statefulsets,wq,secrets", "-n", namespace)["items"]]
    return {(one["name"], one["uid"]) for one in found}


@pytest.mark.timeout(900)
def test_the_demo_does_its_sixty_tasks_and_is_removed_and_only_that(kube: Kube, operator: str) -> None:
    """Beside the tests' operator, and a person's demo where there is one."""
    watched = [name for name in (operator, DEMO_NAMESPACE) if kube.exists("namespace", name)]
    before = {name: objects(kube, name) for name in watched}
    try:
        shown = dict(re.findall(r"│ ([a-z][a-z (-]+[a-z)]) +│ (.+?) +│", run("demo.py")))
    finally:
        removed = run("clean_demo.py")
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
    assert f"Removed namespace {TESTS_DEMO_NAMESPACE} and all in it." in removed
    assert "The definition of WorkQueue stays" in removed
    assert not kube.exists("namespace", TESTS_DEMO_NAMESPACE)
    assert {name: before[name] - objects(kube, name) for name in watched} == {name: set() for name in watched}
    assert f"There is no namespace {TESTS_DEMO_NAMESPACE}" in run("clean_demo.py")
