"""A port that a test holds is its own, whether a server listens on it or is down."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from held_port import HeldPort, listens
from http_server import HttpServer


@pytest.fixture
def held() -> Iterator[HeldPort]:
    with closing(HeldPort()) as port:
        yield port


def test_nobody_is_given_a_held_port_before_beside_or_after_its_server(held: HeldPort) -> None:
    assert_refused(held)
    with HttpServer("", held.number):
        assert_refused(held)
    assert_refused(held)
    with HttpServer("", held.number):
        assert_refused(held)


def assert_refused(held: HeldPort) -> None:
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", held.number))


def test_a_held_port_refuses_connections_until_its_server_listens(held: HeldPort) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", held.number))
    assert not listens(held.number)
    with HttpServer("", held.number):
        assert listens(held.number)
        assert listens(held.number, os.getpid())
        assert not listens(held.number, os.getppid())
    assert not listens(held.number)
