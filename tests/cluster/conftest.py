"""Fixtures on a real cluster: our operator, a real RabbitMQ in a pod, and an empty namespace for each test.

The operator serves one namespace, and no other operator serves it: no other WorkQueue of the cluster is touched. Of
several runs on this machine one is at work; the others wait for it before their first test.
"""

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from dev.kube import CommandFailed, Kube, Proxy, copy_broker_secret, install_broker
from dev.local_cluster.locks import lock_file, locked
from dev.operators import (
    DefinitionUse,
    definition_in_use,
    operators,
    refuse_second_operator,
    remove_definition,
)
from tests.support.work import BROKER, SERVED, SYSTEM, UNSERVED, Work, empty_namespace, install_operator, make_namespace

#: A program with its arguments; `stdin` is what it reads, `check=False` gives a failure back.
Program = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "cluster" in item.path.parts and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(300))


CLUSTER = pytest.StashKey[tuple[ExitStack, DefinitionUse]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Wait for the cluster before the first test, as no test's timeout covers that, and where the output is shown."""
    uses_cluster = any("kube" in getattr(item, "fixturenames", ()) for item in session.items)
    if session.config.option.collectonly or not uses_cluster or "WORKQUEUE_IMAGES" not in os.environ:
        return
    kube, stack = Kube(os.environ["KUBE_CONTEXT"]), ExitStack()
    try:
        stack.enter_context(locked(lock_file("tests"), "the cluster tests"))
        session.config.stash[CLUSTER] = stack, stack.enter_context(definition_in_use(kube, "the cluster tests"))
    except CommandFailed as problem:
        pytest.exit(str(problem), returncode=1)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if CLUSTER in session.config.stash:
        stack, definition = session.config.stash[CLUSTER]
        stack.close()
        remove_definition(definition.kube)


@pytest.fixture(scope="session")
def kube() -> Kube:
    """The cluster that KUBE_CONTEXT names, with our images in it."""
    if "WORKQUEUE_IMAGES" not in os.environ:
        told = "no cluster: run `make test-cluster`, or python -m dev.with_cluster -- pytest tests/cluster"
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
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


@pytest.fixture(scope="session")
def operator(kube: Kube, test_namespaces: None, request: pytest.FixtureRequest) -> Iterator[str]:
    """The namespace in which the operator runs, installed by its chart, for one namespace of tests."""
    try:
        refuse_second_operator(operators(kube), SYSTEM, SERVED)
    except CommandFailed as problem:
        pytest.exit(str(problem), returncode=1)  # every test would fail, and touch what is not ours
    make_namespace(kube, SYSTEM)
    install_operator(kube)
    request.config.stash[CLUSTER][1].installed()
    yield SYSTEM
    kube.helm("uninstall", "operator", "-n", SYSTEM, "--ignore-not-found", "--wait")
    kube.remove_namespace(SYSTEM, "tests")


@pytest.fixture(scope="session")
def rabbitmq(kube: Kube) -> Iterator[str]:
    """The namespace of a RabbitMQ that the tests share; each uses queues of its own."""
    make_namespace(kube, BROKER)
    install_broker(BROKER)
    yield BROKER
    kube.remove_namespace(BROKER, "tests")


@pytest.fixture(scope="session")
def test_namespaces(kube: Kube) -> Iterator[None]:
    """Made once, as the operator's rights lie in the one that it serves; what a killed run left there goes first."""
    for name in (SERVED, UNSERVED):
        make_namespace(kube, name)
        empty_namespace(kube, name)
    yield
    for name in (SERVED, UNSERVED):
        kube.remove_namespace(name, "tests")


@pytest.fixture
def namespace(kube: Kube, test_namespaces: None, rabbitmq: str) -> Iterator[str]:
    """Empty but for the broker's Secret, and served by the operator, if one runs."""
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
