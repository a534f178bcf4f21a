"""Fixtures on a real cluster: our operator, a real RabbitMQ in a pod, and a fresh namespace for each test."""

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator

import pytest
from kube import Kube, Proxy, copy_broker_secret, install_broker
from work import BROKER, SYSTEM, Work, install_operator, make_namespace

#: A program with its arguments; `stdin` is what it reads, `check=False` gives a failure back.
Program = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "cluster" in item.path.parts and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def kube() -> Kube:
    """The cluster that KUBE_CONTEXT names, with our images in it."""
    if "WORKQUEUE_IMAGES" not in os.environ:
        told = "no cluster: run `make test-cluster`, or python dev/with_cluster.py -- pytest tests/cluster"
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
def operator(kube: Kube) -> Iterator[str]:
    """The namespace in which the operator runs, installed by its chart, for the whole cluster."""
    make_namespace(kube, SYSTEM)
    install_operator(kube, SYSTEM)
    yield SYSTEM
    kube.helm("uninstall", "operator", "-n", SYSTEM, "--ignore-not-found", "--wait")
    kube.kubectl("delete", "namespace", SYSTEM, "--ignore-not-found", "--wait")


@pytest.fixture(scope="session")
def rabbitmq(kube: Kube) -> Iterator[str]:
    """The namespace of a RabbitMQ that the tests share; each uses queues of its own."""
    make_namespace(kube, BROKER)
    install_broker(BROKER)
    yield BROKER
    kube.kubectl("delete", "namespace", BROKER, "--ignore-not-found", "--wait")


@pytest.fixture
def namespace(kube: Kube, rabbitmq: str) -> Iterator[str]:
    """A fresh namespace with the broker's Secret, gone after the test."""
    name = f"workqueue-test-{secrets.token_hex(3)}"
    make_namespace(kube, name)
    copy_broker_secret(name, rabbitmq)
    yield name
    # A worker in the middle of a long task would hold the namespace, and its share of the node, until it is done.
    kube.kubectl("delete", "deployments,pods", "--all", "-n", name, "--grace-period=0", "--force", "--ignore-not-found")
    kube.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait", "--timeout=180s")


@pytest.fixture
def work(kube: Kube, proxy: Proxy, operator: str, namespace: str) -> Work:
    """A WorkQueue with its workers can be installed here."""
    return Work(kube, proxy, namespace)
