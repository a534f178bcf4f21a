"""Fixtures on a real cluster: our operator, a real RabbitMQ in a pod, and an empty namespace for each test.

The tests run in several processes of pytest-xdist, or in one. Each process has an operator, a broker and namespaces of
its own; the definition of WorkQueue is the cluster's. Each operator serves one namespace, and no other operator serves
it: no other WorkQueue of the cluster is touched. Of several runs on this machine one is at work; the others wait for it
before their first test.
"""

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dev.kube import CommandFailed, Kube, Proxy, copy_broker_secret, install_broker
from dev.local_cluster.locks import lock_file, locked
from dev.operators import definition_in_use, operators, refuse_second_operator, remove_definition
from dev.test_turn import turn
from tests.support.work import (
    BROKER,
    OPERATOR,
    SERVED,
    SYSTEM,
    UNSERVED,
    Work,
    empty_namespace,
    install_definition,
    install_operator,
    make_namespace,
    remove_namespaces,
    start_producer,
)

#: A program with its arguments; `stdin` is what it reads, `check=False` gives a failure back.
Program = Callable[..., subprocess.CompletedProcess[str]]


HERE = Path(__file__).parent
#: What the run holds of the cluster, in the process that started the others, or in the only one.
CLUSTER = pytest.StashKey[ExitStack]()
#: The word by which that process lets the others know.
HELD = "the cluster is held"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Last what holds up all processes, so that the others have nothing left to do."""
    for item in items:
        if item.path.is_relative_to(HERE) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(300))
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)


def pytest_sessionstart(session: pytest.Session) -> None:
    if session.config.getoption("numprocesses", None) and not is_worker(session.config):
        hold_cluster(session)


def pytest_collection_finish(session: pytest.Session) -> None:
    if not any(item.path.is_relative_to(HERE) for item in session.items):
        return
    if not is_worker(session.config):
        hold_cluster(session)
    elif HELD not in session.config.workerinput and "WORKQUEUE_IMAGES" in os.environ:  # type: ignore[attr-defined] # of pytest-xdist
        pytest.exit("pytest-xdist needs tests/cluster among its arguments", returncode=1)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Of pytest-xdist, before it starts a process."""
    if CLUSTER in node.config.stash:
        node.workerinput[HELD] = True


def is_worker(config: pytest.Config) -> bool:
    """Whether this is a process that pytest-xdist started."""
    return hasattr(config, "workerinput")


def hold_cluster(session: pytest.Session) -> None:
    """Wait for the cluster before the first test, as no test's timeout covers that, and where the output is shown.

    What a run that was killed left goes first.
    """
    if session.config.option.collectonly or "WORKQUEUE_IMAGES" not in os.environ:
        return
    kube, stack = Kube(os.environ["KUBE_CONTEXT"]), ExitStack()
    try:
        stack.enter_context(turn("the cluster tests"))
        definition = stack.enter_context(definition_in_use(kube, "the cluster tests"))
        remove_namespaces(kube)
        install_definition(kube)
        definition.installed()
    except CommandFailed as problem:
        pytest.exit(str(problem), returncode=1)
    stack.callback(remove_namespaces, kube)
    session.config.stash[CLUSTER] = stack


def pytest_sessionfinish(session: pytest.Session) -> None:
    if CLUSTER in session.config.stash:
        session.config.stash[CLUSTER].close()
        remove_definition(Kube(os.environ["KUBE_CONTEXT"]))


@pytest.fixture(scope="session")
def kube() -> Kube:
    """The cluster that KUBE_CONTEXT names, with our images in it."""
    if "WORKQUEUE_IMAGES" not in os.environ:
        remedy = "no cluster: run `make test-cluster`, or python -m dev.with_cluster -- pytest tests/cluster"
        if os.environ.get("CI"):
            pytest.fail(remedy)
        pytest.skip(remedy)
    return Kube(os.environ["KUBE_CONTEXT"])


@pytest.fixture(scope="session")
def kubectl(kube: Kube, operator: str) -> Program:
    """kubectl, for tests that look at refusals; the operator's chart brings the definition."""
    return _program("kubectl", "--context", kube.context)


@pytest.fixture(scope="session")
def helm(kube: Kube, operator: str) -> Program:
    """helm, for tests that look at refusals."""
    return _program("helm", "--kube-context", kube.context)


def _program(*command: str) -> Program:
    def run(*arguments: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([*command, *arguments], input=stdin, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def proxy(kube: Kube) -> Iterator[Proxy]:
    """Quick reading."""
    with kube.proxy() as made:
        yield made


@pytest.fixture(autouse=True)
def _definition(request: pytest.FixtureRequest) -> Iterator[None]:
    """The definition of WorkQueue is this checkout's in every test but one marked `alone`, which runs beside no other.

    Such a test waits behind the gate until no other is at work; the others wait at the gate until it has ended.
    """
    shared, use = request.node.get_closest_marker("alone") is None, "a cluster test"
    with ExitStack() as stack:
        with locked(lock_file("tests-gate"), use, shared=shared):
            stack.enter_context(locked(lock_file("tests-definition"), use, shared=shared))
        yield


@pytest.fixture(scope="session")
def operator(kube: Kube, test_namespaces: None) -> Iterator[str]:
    """The namespace in which the operator runs, installed by its chart, for one namespace of tests."""
    try:
        refuse_second_operator(operators(kube), SYSTEM, SERVED)
    except CommandFailed as problem:
        pytest.exit(str(problem), returncode=1)  # every test would fail, and touch what is not ours
    make_namespace(kube, SYSTEM)
    install_operator(kube)
    yield SYSTEM
    kube.helm("uninstall", OPERATOR, "-n", SYSTEM, "--ignore-not-found")


@pytest.fixture(scope="session")
def rabbitmq(kube: Kube) -> str:
    """The namespace of the RabbitMQ that the tests share, each with its own queues, and of the pod that sends."""
    make_namespace(kube, BROKER)
    install_broker(BROKER)
    start_producer(kube, BROKER)
    return BROKER


@pytest.fixture(scope="session")
def test_namespaces(kube: Kube) -> None:
    """Made once, as the operator's rights lie in the one that it serves."""
    for name in (SERVED, UNSERVED):
        make_namespace(kube, name)


@pytest.fixture
def namespace(kube: Kube, proxy: Proxy, test_namespaces: None, rabbitmq: str) -> Iterator[str]:
    """Empty but for the broker's Secret, and served by the operator, if one runs."""
    if proxy.data(f"/api/v1/namespaces/{SERVED}/secrets/rabbitmq") is None:
        copy_broker_secret(SERVED, rabbitmq)
    yield SERVED
    empty_namespace(kube, SERVED)


@pytest.fixture
def unserved_namespace(kube: Kube, test_namespaces: None) -> Iterator[str]:
    """Empty, and no operator looks at it."""
    yield UNSERVED
    empty_namespace(kube, UNSERVED)


@pytest.fixture
def work(kube: Kube, proxy: Proxy, operator: str, namespace: str) -> Work:
    """A WorkQueue with its workers can be installed here, under a name that no other test uses."""
    return Work(kube, proxy, namespace, f"jobs-{secrets.token_hex(3)}")
