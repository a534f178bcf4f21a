"""What is in the images, asked from inside the pods that the charts make of them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dev.kube import Kube, images
from tests.support.waiting import wait_until
from tests.support.work import SYSTEM, Work, start_producer

#: The Python that the published images have, so that the tests' images have the same.
(PYTHON,) = set(re.findall(r"python:(3\.\d+)-slim", (Path(__file__).parents[2] / "Dockerfile").read_text()))
#: Prints Python's version, the libraries that are there, who runs, and how a write to the image ends. As root of a
#: writable image the write would work, and as another user it would be refused with EACCES; only a read-only root gives
#: EROFS.
LOOK = """
import errno, importlib.util, json, os, platform
found = [name for name in ("kopf", "kubernetes", "aiohttp", "pika", "pip", "uv") if importlib.util.find_spec(name)]
try:
    open("/etc/written", "w")
    write = "done"
except OSError as error:
    write = errno.errorcode[error.errno]
python = platform.python_version().rpartition(".")[0]
print(json.dumps({"python": python, "libraries": found, "user": os.getuid(), "write": write}))
"""
NONROOT = 65532
#: Of a worker and a producer.
EXPECTED = {"python": PYTHON, "libraries": ["pika"], "user": NONROOT, "write": "EROFS"}


def look(kube: Kube, namespace: str, pod: str) -> dict[str, Any]:
    return dict(json.loads(kube.kubectl("exec", "-n", namespace, pod, "--", "python3", "-c", LOOK)))


def test_a_worker_holds_nothing_of_the_operator_and_can_write_nothing(work: Work) -> None:
    work.install(scaling__minReplicas=1)
    (worker,) = wait_until(lambda: work.tasks_in_progress() or None, 120, "a worker answers")
    assert look(work.kube, work.namespace, worker) == EXPECTED


def test_the_producer_holds_nothing_of_the_operator_and_can_write_nothing(kube: Kube, namespace: str) -> None:
    start_producer(kube, namespace)
    assert look(kube, namespace, "producer") == EXPECTED


def test_the_operator_can_write_nothing(kube: Kube, operator: str) -> None:
    seen = look(kube, SYSTEM, f"deployment/{kube.get('deployments', '-n', SYSTEM)['items'][0]['metadata']['name']}")
    assert (seen["python"], seen["user"], seen["write"]) == (PYTHON, NONROOT, "EROFS")
    assert not {"pip", "uv"} & set(seen["libraries"])


ORDER = '{"order": "A1", "lines": [{"price": 3, "count": 2}]}'


@pytest.mark.timeout(300)
def test_a_teams_own_image_works_as_its_readme_says(work: Work) -> None:
    """examples/01-own-handler, built FROM the worker's image and installed by the chart: an order is added up, and what
    is none is dead-lettered."""
    assert images()["01-own-handler"]["repository"].endswith("/01-own-handler")
    work.queue_name = work.name
    work.install_chart("01-own-handler", "--set", "broker.secretName=rabbitmq")
    work.wait_until_ready()
    work.send([ORDER, "not JSON"])
    wait_until(lambda: work.count("workqueue_tasks_dead_lettered_total") == 1, 60, "what is no order is dead-lettered")
    wait_until(lambda: "order A1: 6 (attempt 1)" in logs(work).splitlines(), 30, "the order is added up")
    wait_until(lambda: work.counts() == (0, 0), 30, "the queue is empty")
    wait_until(lambda: work.dead_lettered() == 1, 30, "the broker counts the dead-lettered task")


@pytest.mark.timeout(300)
def test_a_teams_image_with_libraries_publishes_the_next_tasks_and_has_metrics_of_its_own(work: Work) -> None:
    """examples/02-libraries-and-next-tasks: its package was installed into the worker's Python while it was built."""
    work.queue_name = work.name
    lines = f"{work.name}-lines"
    next_queue = ("--set", "env[0].name=NEXT_QUEUE", "--set", f"env[0].value={lines}")
    work.install_chart("02-libraries-and-next-tasks", "--set", "broker.secretName=rabbitmq", *next_queue)
    work.wait_until_ready()
    work.send(["{order: A1, lines: [{price: 3}, {price: 2}]}", "[no order"])
    wait_until(lambda: work.counts(lines) == (2, 0), 60, "each line of the order is a task")
    wait_until(lambda: work.count("order_lines_published_total") == 2, 60, "its own counter is on the worker's page")
    wait_until(lambda: work.count("workqueue_tasks_dead_lettered_total") == 1, 60, "what is no order is dead-lettered")


def logs(work: Work) -> str:
    return "".join(work.kube.kubectl("logs", "-n", work.namespace, worker) for worker in work.running())
