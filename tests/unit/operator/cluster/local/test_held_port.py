"""A held port is given to one pod alone, and its program can listen on it."""

import socket

from workqueue_operator.cluster.local.held_port import HeldPort


def test_no_two_have_the_same_port_and_a_server_that_reuses_addresses_may_listen_again_and_again() -> None:
    held = [HeldPort() for _ in range(20)]
    try:
        assert len({port.number for port in held}) == 20
        for _ in range(2):
            with socket.create_server(("127.0.0.1", held[0].number)) as server:
                assert server.getsockname()[1] == held[0].number
    finally:
        for port in held:
            port.close()
