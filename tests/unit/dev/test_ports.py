"""Ports that no other program can take: those that a test holds, and the block of the local cluster."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from workqueue_operator.cluster.local.held_port import PORTS, HeldPort

from dev.local_cluster import control_plane
from dev.local_cluster.console import ClusterError
from dev.local_cluster.identities import Identities
from dev.local_cluster.listeners import listens
from dev.local_cluster.places import Places
from dev.local_cluster.ports import BASES, Ports, choose_ports, save_ports, saved_ports
from tests.support.http_server import HttpServer


@pytest.fixture
def held() -> Iterator[HeldPort]:
    with closing(HeldPort()) as port:
        yield port


def test_no_program_is_given_a_held_port_before_beside_or_after_its_server(held: HeldPort) -> None:
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


@pytest.mark.parametrize("taken", Ports().all)
def test_the_local_cluster_takes_the_next_block_when_a_port_of_one_is_taken(taken: int) -> None:
    assert choose_ports(lambda port: port == taken) == Ports(BASES[1])
    assert choose_ports(lambda _: False) == Ports(BASES[0])


def test_blocks_do_not_overlap_and_lie_below_those_of_the_tests() -> None:
    ports = [port for base in BASES for port in Ports(base).all]
    assert len(set(ports)) == len(ports)
    assert max(ports) < min(PORTS)


def test_no_free_block_is_an_error() -> None:
    with pytest.raises(ClusterError, match="another program listens"):
        choose_ports(lambda _: True)


def test_other_commands_find_the_block_of_the_running_cluster(tmp_path: Path) -> None:
    places = Places(cache=tmp_path, home=tmp_path)
    places.current.mkdir()
    assert saved_ports(places) == Ports()
    save_ports(places, Ports(BASES[2]))
    assert saved_ports(places) == Ports(BASES[2])


def test_every_program_gets_its_ports_from_the_block(tmp_path: Path) -> None:
    places, ports = Places(cache=tmp_path, home=tmp_path), Ports(BASES[3])
    places.current.mkdir()
    made = Identities(tmp_path, ports.api_url)
    commands = [
        control_plane.etcd(places, ports),
        control_plane.apiserver(tmp_path, made, ports),
        control_plane.controller_manager(tmp_path, made, ports),
        control_plane.scheduler(tmp_path, made, ports),
        control_plane.kubelet(tmp_path, made, places, ports),
        control_plane.proxy(tmp_path, made, places, ports),
        control_plane.coredns(tmp_path, made, places, ports),
    ]
    written = [path.read_text() for path in (*places.current.glob("*.json"), places.current / "Corefile")]
    given = json.dumps([[str(word) for word in command] for command in commands]) + "".join(written)
    assert {port for port in ports.all if str(port) in given} == set(ports.all)
    assert not [port for port in Ports(BASES[0]).all if str(port) in given]
