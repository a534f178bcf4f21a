"""The programs of `make demo` and `make clean-demo`: what they show, and what they leave."""

import os
import re
import subprocess
import sys

import pytest
from kube import CHECKOUT, Kube
from operators import DEMO_NAMESPACE


def run(program: str) -> str:
    """What it printed, without a terminal."""
    done = subprocess.run([sys.executable, f"dev/{program}"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout


def namespaces(kube: Kube) -> set[str]:
    return {one["metadata"]["name"] for one in kube.get("namespaces")["items"]}


@pytest.mark.timeout(900)
def test_the_demo_does_its_sixty_tasks_and_is_removed_and_only_that(kube: Kube) -> None:
    before = namespaces(kube)
    if DEMO_NAMESPACE in before:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("somebody's demo is on this cluster; make clean-demo removes it")
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
    assert "Removed namespace" in removed
    assert namespaces(kube) == before
    assert "There is no namespace" in run("clean_demo.py")
