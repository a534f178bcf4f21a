"""The password goes to the host that it was given for, and nowhere else: not by a proxy, a redirection or a log."""

import base64
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, connect
from workqueue_broker.errors import BrokerError, InvalidAddress
from workqueue_operator.rabbitmq.management_api import ManagementApi, ManagementUnavailable
from workqueue_worker import consumer_timeout

from tests.support.waiting import wait_until

PASSWORD = "topsecret-word"
ENCODED = base64.b64encode(f"guest:{PASSWORD}".encode()).decode()
REDIRECTION = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n"


class Ear:
    """A server on loopback that keeps what it hears, and answers each connection's first bytes with a text."""

    def __init__(self, answer: str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}") -> None:
        self.heard: list[bytes] = []
        self._answer = answer.encode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                with client:
                    self.heard.append(client.recv(65536))
                    client.sendall(self._answer)


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    yield ear
    ear.close()


def address(port: int, **more: Any) -> BrokerAddress:
    here = BrokerAddress(hosts=(("127.0.0.1", 5672),), password=PASSWORD, management_uri=f"http://127.0.0.1:{port}")
    return replace(here, **more)


def test_the_named_host_gets_the_login(ear: Ear) -> None:
    assert consumer_timeout.read(address(ear.port), "orders") is None
    (request,) = ear.heard
    assert ENCODED in request.decode()


def test_a_management_api_elsewhere_needs_a_login_of_its_own(ear: Ear) -> None:
    elsewhere = address(ear.port, hosts=(("rabbitmq", 5672),))
    with pytest.raises(InvalidAddress, match=r"management_uri .* write one for it into management_uri") as raised:
        consumer_timeout.read(elsewhere, "orders")
    assert PASSWORD not in str(raised.value)
    assert ear.heard == []
    assert consumer_timeout.read(replace(elsewhere, management_login=("other", "own-word")), "orders") is None
    assert ENCODED not in ear.heard[0].decode()


@pytest.mark.parametrize("host", ["RabbitMQ", "::1"])
def test_a_host_is_the_same_in_another_spelling(host: str) -> None:
    uri = f"http://{f'[{host}]' if ':' in host else host}:15672"
    hosts = (("a", 5672), (host, 5672))
    assert BrokerAddress(hosts=hosts, password=PASSWORD, management_uri=uri).login_of_management()[1] == PASSWORD


async def test_the_operator_sends_no_login_elsewhere_either(ear: Ear) -> None:
    api = ManagementApi(address(ear.port, hosts=(("rabbitmq", 5672),)))
    with pytest.raises(ManagementUnavailable, match="write one for it into management_uri"):
        await api.read(0.0)
    await api.close()
    assert ear.heard == []


def test_a_redirection_is_not_followed(ear: Ear) -> None:
    redirecting = Ear(REDIRECTION.format(port=ear.port))
    with pytest.raises(consumer_timeout.Unreadable, match="answers 302"):
        consumer_timeout.read(address(redirecting.port), "orders")
    redirecting.close()
    assert ear.heard == []


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_does_not_see_it(ear: Ear, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, f"http://127.0.0.1:{ear.port}")
    named = Ear()
    assert consumer_timeout.read(address(named.port), "orders") is None
    named.close()
    assert ENCODED in named.heard[0].decode()
    assert ear.heard == []


def test_an_answer_that_drips_ends_within_the_limit() -> None:
    """The time limit of a socket would start again with each byte."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def drip() -> None:
        client, _ = listener.accept()
        with suppress(OSError), client:
            client.sendall(b"HTTP/1.1 200 OK\r\n")
            while not ended.wait(0.05):  # the dripping itself: nothing is waited for
                client.sendall(b"X")

    threading.Thread(target=drip, daemon=True).start()
    errors: list[Exception] = []

    def read() -> None:
        try:
            consumer_timeout.read(address(listener.getsockname()[1]), "orders")
        except consumer_timeout.Unreadable as error:
            errors.append(error)

    threading.Thread(target=read, daemon=True).start()
    wait_until(lambda: errors or None, 60, "the reading has ended, though bytes still come")
    ended.set()
    listener.close()


def test_no_log_holds_it_at_any_level(caplog: pytest.LogCaptureFixture, ear: Ear) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(BrokerError) as raised:
        connect(address(ear.port, hosts=(("127.0.0.1", ear.port),)), ConnectionSettings(name="log"))
    assert caplog.records
    for text in (caplog.text, str(raised.value), repr(raised.value.__cause__), repr(address(ear.port))):
        assert PASSWORD not in text
        assert ENCODED not in text
