"""TLS: the broker's certificate is always verified, and a client certificate is shown when there is one."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from workqueue_broker.declaration import QueueType

from tests.support.rabbitmq_server import RabbitMQServer, running
from tests.support.task_queue import TaskQueue
from tests.support.tls_front import Authority, Certificate, TlsFront
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, WorkerProcess

MakeFront = Callable[..., TlsFront]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def make_front(quorum_queue: TaskQueue) -> Iterator[MakeFront]:
    with ExitStack() as stack:

        def make(certificate: Certificate, clients: Authority | None = None) -> TlsFront:
            front = TlsFront(quorum_queue.server.amqp_port, certificate, clients)
            stack.callback(front.close)
            return front

        yield make


def address(queue: TaskQueue, front: TlsFront, login: str = "") -> str:
    login = login or f"{queue.server.user}:{queue.server.password}"
    return f"amqps://{login}@127.0.0.1:{front.port}/{queue.vhost}"


def readiness_says(worker: WorkerProcess, words: str) -> None:
    wait_until(lambda: words in worker.get("/readyz")[1], 30, f"readiness says {words!r}; see {worker.log_file}")


@pytest.mark.any_rabbitmq
def test_a_broker_of_a_known_authority_is_used(
    quorum_queue: TaskQueue, start_worker: StartWorker, authority: Authority, make_front: MakeFront
) -> None:
    front = make_front(authority.issue("broker", "IP:127.0.0.1"))
    worker = start_worker(
        quorum_queue, "ledger_ok", AMQP_URL=address(quorum_queue, front), AMQP_CA_FILE=str(authority.certificate)
    ).ready()
    quorum_queue.send("a")
    worker.wait_for_metric("tasks_acked_total", 1)


@pytest.mark.any_rabbitmq
def test_a_broker_of_an_unknown_authority_is_refused(
    quorum_queue: TaskQueue, start_worker: StartWorker, authority: Authority, make_front: MakeFront
) -> None:
    front = make_front(authority.issue("broker", "IP:127.0.0.1"))
    worker = start_worker(quorum_queue, "ledger_ok", AMQP_URL=address(quorum_queue, front))
    readiness_says(worker, "set its CA (key ca.crt, AMQP_CA_FILE)")


@pytest.mark.any_rabbitmq
def test_a_certificate_for_another_host_is_refused(
    quorum_queue: TaskQueue, start_worker: StartWorker, authority: Authority, make_front: MakeFront
) -> None:
    front = make_front(authority.issue("broker", "DNS:elsewhere.example"))
    worker = start_worker(
        quorum_queue, "ledger_ok", AMQP_URL=address(quorum_queue, front), AMQP_CA_FILE=str(authority.certificate)
    )
    readiness_says(worker, "the broker's certificate is for another host")


@pytest.mark.any_rabbitmq
def test_a_client_certificate_is_shown_to_a_broker_that_asks(
    quorum_queue: TaskQueue, start_worker: StartWorker, authority: Authority, make_front: MakeFront
) -> None:
    front = make_front(authority.issue("broker", "IP:127.0.0.1"), clients=authority)
    mine = authority.issue("worker", "DNS:worker")
    server, everything = quorum_queue.server, {"configure": ".*", "write": ".*", "read": ".*"}
    server.management("PUT", "/api/users/certified", {"password": "and-a-word", "tags": ""})
    server.management("PUT", f"/api/permissions/{quorum_queue.vhost}/certified", everything)
    uri = address(quorum_queue, front, "certified:and-a-word")
    common = {"AMQP_URL": uri, "AMQP_CA_FILE": str(authority.certificate)}
    without = start_worker(quorum_queue, "ledger_ok", place=None, **common)
    readiness_says(without, "not consuming")
    start_worker(
        quorum_queue,
        "ledger_ok",
        AMQP_CERT_FILE=str(mine.certificate),
        AMQP_KEY_FILE=str(mine.key),
        place=None,
        **common,
    ).ready()


@pytest.fixture
def certified_broker(tmp_path: Path, rabbitmq_version: str) -> Iterator[tuple[RabbitMQServer, Authority]]:
    """A broker that takes the name in a client's certificate for its user, and asks for no password."""
    directory = tmp_path / "rabbitmq"
    authority = Authority(directory / "authority")
    broker = authority.issue("broker", "IP:127.0.0.1")
    plugins = ("rabbitmq_management", "rabbitmq_auth_mechanism_ssl")
    settings = (
        "listeners.ssl.1 = {listen}:{tls_port}",
        f"ssl_options.cacertfile = {authority.certificate}",
        f"ssl_options.certfile = {broker.certificate}",
        f"ssl_options.keyfile = {broker.key}",
        "ssl_options.verify = verify_peer",
        "ssl_options.fail_if_no_peer_cert = true",
        "auth_mechanisms.1 = PLAIN",
        "auth_mechanisms.2 = EXTERNAL",
        "ssl_cert_login_from = common_name",
    )
    with running(directory, rabbitmq_version, plugins=plugins, settings=settings) as server:
        yield server, authority


def test_a_client_certificate_alone_logs_in(
    certified_broker: tuple[RabbitMQServer, Authority], start_worker: StartWorker
) -> None:
    """By the broker's EXTERNAL mechanism, for worker and producer; a name that it does not know is refused."""
    server, authority = certified_broker
    server.renew()  # its management API answers from here on
    queue = TaskQueue(server, server.default_vhost, QueueType.QUORUM).declare()
    server.management("PUT", "/api/users/orders-worker", {"password_hash": "", "tags": ""})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    server.management("PUT", f"/api/permissions/{queue.vhost}/orders-worker", everything)

    def login(name: str) -> dict[str, str]:
        mine = authority.issue(name, f"DNS:{name}")
        return {
            "AMQP_URL": f"amqps://127.0.0.1:{server.tls_port}/{queue.vhost}",
            "AMQP_CA_FILE": str(authority.certificate),
            "AMQP_CERT_FILE": str(mine.certificate),
            "AMQP_KEY_FILE": str(mine.key),
        }

    known = login("orders-worker")
    worker = start_worker(queue, "ledger_ok", place=None, **known).ready()
    new_task = [sys.executable, "-m", "workqueue_producer", "--queue", queue.name, "--queue-type", "Quorum", "a"]
    subprocess.run(new_task, env={**os.environ, **known}, check=True, timeout=60)
    worker.wait_for_metric("tasks_acked_total", 1)
    readiness_says(start_worker(queue, "ledger_ok", place=None, **login("a-stranger")), "refuses this user")
