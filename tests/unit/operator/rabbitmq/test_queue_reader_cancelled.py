"""The reader is cancelled while a broker does not answer, or in the very moment in which it does."""

import asyncio
import socket
import threading
from collections.abc import Callable

import pytest
from workqueue_broker.address import BrokerAddress
from workqueue_broker.declaration import Declare, QueueDeclaration
from workqueue_operator.rabbitmq.queue_reader import MOST_CHANNELS, AmqpQueueReader
from workqueue_operator.resource import QueueSpec

from tests.support.hostile_broker import greeted, until_gone
from tests.support.hostile_server import HostileServer


async def until(fact: Callable[[], object], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + 20
    while not fact():
        assert asyncio.get_running_loop().time() < deadline, f"not seen: {what}"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancel_that_comes_with_the_end_of_a_round_is_obeyed(turns: int) -> None:
    """`turns`: of the event loop, between the start of a round that fails at once and the cancel."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    reader = AmqpQueueReader(BrokerAddress(hosts=(("127.0.0.1", port),)), "test")
    reading = asyncio.create_task(reader.read([]))
    for _ in range(turns):
        await asyncio.sleep(0)
    if reading.cancel():  # else it has ended by then
        with pytest.raises(asyncio.CancelledError):
            await reading
    await reader.close()


async def test_a_reader_that_is_closed_while_a_broker_says_nothing_gives_its_socket_back() -> None:
    ended: list[bool] = []

    def silent(client: socket.socket) -> None:
        while client.recv(1024):
            pass
        ended.append(True)

    with HostileServer(silent) as server:
        reader = AmqpQueueReader(BrokerAddress(hosts=(("127.0.0.1", server.port),)), "test")
        reading = asyncio.create_task(reader.read([]))
        await until(lambda: server.visits, "it connects")
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await reader.close()
        await until(lambda: ended, "the other side sees the end")


async def test_a_connection_that_was_opened_after_its_round_is_given_back_too() -> None:
    """The broker greets once the round that wanted it was cancelled."""
    cancelled = threading.Event()
    opened: list[bool] = []

    def late(client: socket.socket) -> None:
        cancelled.wait(30)
        greeted(client)
        opened.append(True)
        until_gone(client)

    with HostileServer(late) as server:
        reader = AmqpQueueReader(BrokerAddress(hosts=(("127.0.0.1", server.port),)), "test")
        reading = asyncio.create_task(reader.read([]))
        await until(lambda: server.open, "it connects")
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        cancelled.set()
        await until(lambda: opened, "the connection is open")
        await until(lambda: reader._connecting and reader._connecting.done(), "the attempt has ended")
        await reader.close()
        await until(lambda: server.open == 0, "the other side sees the end")


async def test_connections_that_are_lost_while_channels_open_take_no_channel_away() -> None:
    """A broker that goes says nothing of how many a user may have; with one alone no dead letters were ever counted."""

    def gone(client: socket.socket) -> None:
        greeted(client)
        client.recv(65536)

    queues = [QueueSpec(QueueDeclaration(f"q{n}"), Declare.NEVER, f"q{n}.dead", 20, None, None) for n in range(40)]
    with HostileServer(gone) as server:
        reader = AmqpQueueReader(BrokerAddress(hosts=(("127.0.0.1", server.port),)), "test")
        for _ in range(8):
            await reader.read(queues)
        await reader.close()
    assert server.visits == 8
    assert reader._most_channels == MOST_CHANNELS
