"""Fixtures for programs that work on a queue: the queue in each of its types, and workers that end with the test."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from workqueue_broker.declaration import QueueType

from tests.support.network_link import NetworkLink
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.rabbitmq_versions import NotInstallable, not_installable
from tests.support.task_queue import Ledger, TaskQueue, read_ledger
from tests.support.worker_process import Place, StartWorker, WorkerProcess


@pytest.fixture(params=list(QueueType))
def queue_type(request: pytest.FixtureRequest) -> QueueType:
    return QueueType(request.param)


@pytest.fixture
def task_queue(rabbitmq: RabbitMQServer, queue_type: QueueType) -> TaskQueue:
    """A declared queue in a virtual host of its own, on the shared broker."""
    return TaskQueue(rabbitmq, rabbitmq.new_vhost(), queue_type).declare()


@pytest.fixture
def quorum_queue(rabbitmq: RabbitMQServer) -> TaskQueue:
    """One of the default type, where the type makes no difference."""
    return TaskQueue(rabbitmq, rabbitmq.new_vhost(), QueueType.QUORUM).declare()


@pytest.fixture
def own_task_queue(own_rabbitmq: RabbitMQServer, queue_type: QueueType) -> TaskQueue:
    """On a broker that the test may stop."""
    return TaskQueue(own_rabbitmq, own_rabbitmq.default_vhost, queue_type).declare()


@pytest.fixture
def own_quorum_queue(own_rabbitmq: RabbitMQServer) -> TaskQueue:
    """The same, where the type makes no difference."""
    return TaskQueue(own_rabbitmq, own_rabbitmq.default_vhost, QueueType.QUORUM).declare()


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[StartWorker]:
    """Starts workers that write to one ledger; `handler` is a name in worker_handlers, None the tutorial's."""
    with ExitStack() as stack:
        started = 0

        def start(
            queue: TaskQueue, handler: str | None = None, *flags: str, place: Place | None = None, **variables: str
        ) -> WorkerProcess:
            nonlocal started
            started += 1
            chosen = ["--handler", f"worker_handlers:{handler}"] if handler else []
            return stack.enter_context(
                WorkerProcess(
                    tmp_path / f"worker-{started}",
                    queue.uri,
                    *("--queue-type", queue.type, *chosen, *flags),
                    queue=queue.name,
                    place=place,
                    LEDGER=str(tmp_path / "ledger"),
                    **variables,
                )
            )

        yield start


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """What the handlers wrote."""
    return lambda: read_ledger(tmp_path / "ledger")


@pytest.fixture
def link() -> Iterator[NetworkLink]:
    """A link between the host and a network namespace of its own, to be cut and fixed."""
    try:
        NetworkLink.install()
    except NotInstallable as problem:
        not_installable(problem)
    link = NetworkLink()
    yield link
    link.close()
