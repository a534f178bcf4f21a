"""What a person reads when no connection can be used: what is wrong, at which host, and the remedy."""

from dataclasses import replace
from pathlib import Path

import pytest
from workqueue_broker.address import BrokerAddress
from workqueue_broker.asyncio_connection import AsyncioConnection
from workqueue_broker.connection import ConnectionSettings, broker_errors, connect
from workqueue_broker.declaration import QueueDeclaration
from workqueue_broker.errors import AccessRefused, BrokerError, BrokerUnavailable, QueueMismatch
from workqueue_broker.tls import Tls
from workqueue_worker.amqp import Trials
from workqueue_worker.amqp.session import Session

from tests.support.new_task import new_task
from tests.support.rabbitmq_server import RabbitMQServer
from tests.support.task_queue import TaskQueue
from tests.support.tls_front import Authority, TlsFront

SETTINGS = ConnectionSettings(name="errors")
CLOSED = ("127.0.0.1", 1)
NEVER = "--declare Never (QUEUE_DECLARE, spec.queue.declare: Never)"


def error_of(address: BrokerAddress) -> BrokerError:
    with pytest.raises(BrokerError) as raised:
        connect(address, SETTINGS)
    return raised.value


def refused_as(server: RabbitMQServer, vhost: str, **permissions: str) -> BrokerAddress:
    """The address of a user with these permissions only."""
    name = f"{vhost}-limited"
    server.management("PUT", f"/api/users/{name}", {"password": name, "tags": ""})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    server.management("PUT", f"/api/permissions/{vhost}/{name}", everything | permissions)
    return replace(server.address(vhost), username=name, password=name)


def test_a_queue_with_arguments_can_be_used_as_it_is_and_no_user_is_asked_to_delete_it(
    quorum_queue: TaskQueue, tmp_path: Path
) -> None:
    with quorum_queue.channel() as channel:
        channel.queue_declare("urgent", durable=True, arguments={"x-max-priority": 5})
    address = quorum_queue.server.address(quorum_queue.vhost)
    with Trials(address, "errors") as trials:  # what check does
        with pytest.raises(QueueMismatch) as raised:
            trials.counts(QueueDeclaration("urgent"), declared=True)
        assert trials.counts(QueueDeclaration("urgent"), declared=False).messages_ready == 0
    assert NEVER in str(raised.value)
    assert "delete" not in str(raised.value)
    done = new_task(quorum_queue.uri, tmp_path, "--queue", "urgent", "a task")
    assert done.code == 3
    assert NEVER in done.err
    assert new_task(quorum_queue.uri, tmp_path, "--queue", "urgent", "--declare", "Never", "a task").code == 0


def test_a_user_without_the_right_to_declare_learns_how_to_do_without(quorum_queue: TaskQueue) -> None:
    address = refused_as(quorum_queue.server, quorum_queue.vhost, configure="^$")
    with pytest.raises(AccessRefused) as raised, broker_errors(address):
        QueueDeclaration("task_queue").declare(connect(address, SETTINGS).channel())
    assert "configure to declare a queue" in str(raised.value)
    assert NEVER in str(raised.value)
    with Trials(address, "errors") as trials:
        trials.counts(QueueDeclaration("task_queue"), declared=False)


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("first", [0, 1])
def test_of_several_hosts_all_are_named_and_what_a_person_must_change_comes_first(
    rabbitmq: RabbitMQServer, first: int
) -> None:
    here = (rabbitmq.listen, rabbitmq.amqp_port)
    hosts = (CLOSED, here) if first else (here, CLOSED)
    address = replace(rabbitmq.address(), hosts=hosts, password="wrong")
    refused, unreachable = f"{here[0]}:{here[1]}/", "127.0.0.1:1/"
    seen = {str(error_of(address)) for _ in range(4)}  # the order in which they are tried is random
    (text,) = seen
    assert text.index(refused) < text.index("ACCESS_REFUSED") < text.index(unreachable) < text.index("refused", -60)
    assert "\n" not in text
    with pytest.raises(AccessRefused) as raised:  # the worker's own way to connect
        Session(address, SETTINGS)
    assert str(raised.value) == text
    assert isinstance(error_of(replace(address, hosts=(CLOSED,))), BrokerUnavailable)


@pytest.mark.any_rabbitmq
@pytest.mark.parametrize("first", [0, 1])
async def test_the_operators_connection_names_all_hosts_too(rabbitmq: RabbitMQServer, first: int) -> None:
    here = (rabbitmq.listen, rabbitmq.amqp_port)
    hosts = (CLOSED, here) if first else (here, CLOSED)
    address = replace(rabbitmq.address(), hosts=hosts, password="wrong")
    seen = set()
    for _ in range(4):
        with pytest.raises(AccessRefused) as raised:
            await AsyncioConnection.open(address, SETTINGS)
        seen.add(str(raised.value))
    (text,) = seen
    assert text.index(f"{here[0]}:{here[1]}/") < text.index("ACCESS_REFUSED") < text.index("127.0.0.1:1/")
    assert "\n" not in text


@pytest.mark.any_rabbitmq
def test_a_host_that_is_up_is_used_whatever_the_others_are(rabbitmq: RabbitMQServer) -> None:
    address = replace(rabbitmq.address(), hosts=(CLOSED, (rabbitmq.listen, rabbitmq.amqp_port), ("a.invalid", 5672)))
    for _ in range(4):
        connect(address, SETTINGS).close()


@pytest.mark.any_rabbitmq
def test_certificates_are_refused_in_the_right_words(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    ca = authority.certificate.read_text()
    cases = {
        "has expired: renew it at the broker": (authority.issue("expired", "IP:127.0.0.1", days=-1), ca),
        "is for another host: connect to": (authority.issue("other", "DNS:elsewhere.example"), ca),
        "set its CA (key ca.crt, AMQP_CA_FILE)": (authority.issue("good", "IP:127.0.0.1"), None),
    }
    for words, (certificate, known) in cases.items():
        front = TlsFront(quorum_queue.server.amqp_port, certificate, None)
        error = error_of(BrokerAddress(hosts=(("127.0.0.1", front.port),), tls=Tls(ca=known)))
        assert isinstance(error, AccessRefused), words
        assert words in str(error)
        variables = {"AMQP_CA_FILE": str(authority.certificate)} if known else {}
        done = new_task(f"amqps://guest:guest@127.0.0.1:{front.port}", tmp_path, "a task", given=b"", **variables)
        assert (done.code, words in done.err) == (3, True)  # at once, as waiting does not help
        front.close()


def test_tls_that_meets_no_tls_is_explained_on_both_sides(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    server = quorum_queue.server
    text = str(error_of(replace(server.address(), tls=Tls())))
    assert "this port does not speak TLS: write amqp://" in text
    authority = Authority(tmp_path / "authority")
    front = TlsFront(server.amqp_port, authority.issue("broker", "IP:127.0.0.1"), None)
    assert "with a TLS port write amqps://" in str(error_of(BrokerAddress(hosts=(("127.0.0.1", front.port),))))
    front.close()


@pytest.mark.any_rabbitmq
def test_a_broker_that_wants_a_client_certificate_says_so(quorum_queue: TaskQueue, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    front = TlsFront(quorum_queue.server.amqp_port, authority.issue("broker", "IP:127.0.0.1"), authority)
    tls = Tls(ca=authority.certificate.read_text())
    error = error_of(BrokerAddress(hosts=(("127.0.0.1", front.port),), tls=tls))
    assert "wants a client certificate: set it (keys tls.crt and tls.key)" in str(error)
    front.close()
