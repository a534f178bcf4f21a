"""The RabbitMQ of the demo without a cluster: AMQP_URL, else this machine's, else one that ends with the demo."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, connect
from workqueue_broker.errors import BrokerError, InvalidAddress
from workqueue_operator.local.broker_check import HERE
from workqueue_operator.local.own_broker import NoBroker, OwnBroker, answers, installed

from dev.clusters import has_docker
from dev.early_broker import VERSION
from dev.progress import working
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.rabbitmq_versions import NotInstallable, ensure


@dataclass(frozen=True)
class Broker:
    """Where it is."""

    uri: str
    #: None: not known, so that rates and totals are not.
    management_uri: str | None
    #: A sentence about whose it is.
    words: str


@contextmanager
def broker(console: Console) -> Iterator[Broker]:
    """Raises NoBroker, whose message names the remedy."""
    if given := os.environ.get("AMQP_URL"):
        _check(given)
        yield Broker(given, os.environ.get("AMQP_MANAGEMENT_URL"), "the RabbitMQ of AMQP_URL")
    elif answers(HERE):
        yield Broker(HERE, None, "the RabbitMQ of this machine, localhost:5672")
    elif kind := _kind():
        with _own(kind, console) as made:
            yield Broker(made.uri, made.management_uri, f"a RabbitMQ of the demo ({kind}); it ends with it")
    else:
        with _debian(console) as server:
            words = f"a RabbitMQ {VERSION} of the demo, in a folder of the cache; it ends with it"
            yield Broker(server.uri(), server.management_uri, words)


def _kind() -> str | None:
    """How `workqueue-operator local --broker` can start one here; None: it cannot."""
    if installed("rabbitmq-server"):
        return "installed"
    return "docker" if has_docker() else None


@contextmanager
def _own(kind: str, console: Console) -> Iterator[OwnBroker]:
    with tempfile.TemporaryDirectory(prefix="workqueue-demo-") as folder, asyncio.Runner() as runner:
        made = OwnBroker(kind, Path(folder))
        try:
            with working(console, f"Starting RabbitMQ ({kind})"):
                runner.run(made.start())
            yield made
        finally:
            runner.run(made.close())


@contextmanager
def _debian(console: Console) -> Iterator[RabbitMQServer]:
    try:
        ensure(VERSION)  # shows its own progress
    except NotInstallable as problem:
        raise NoBroker(
            f"{problem}. Or: apt install rabbitmq-server, brew install rabbitmq, docker, or name one in AMQP_URL"
        ) from problem
    with (
        tempfile.TemporaryDirectory(prefix="workqueue-demo-") as folder,
        closing(RabbitMQServer(Path(folder), VERSION)) as server,
    ):
        with working(console, f"Starting RabbitMQ {VERSION}"):
            server.start()
        yield server


def _check(uri: str) -> None:
    try:
        connect(BrokerAddress.from_uri(uri), ConnectionSettings("workqueue demo")).close()
    except (BrokerError, InvalidAddress) as error:
        raise NoBroker(f"AMQP_URL: {error}") from error
