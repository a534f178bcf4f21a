"""What a hostile server says in AMQP: the greeting of a broker, and then what a test wants."""

import socket
import struct
from collections.abc import Callable, Iterable

from pika import frame, spec

Talk = Callable[[socket.socket], None]


def method(channel: int, what: object) -> bytes:
    """A method frame."""
    return bytes(frame.Method(channel, what).marshal())


def raw(kind: int, channel: int, payload: bytes) -> bytes:
    """A frame of any kind."""
    return struct.pack(">BHL", kind, channel, len(payload)) + payload + bytes([spec.FRAME_END])


HEARTBEAT = raw(spec.FRAME_HEARTBEAT, 0, b"")
#: The beginning of a frame of 2 GiB.
HUGE = struct.pack(">BHL", spec.FRAME_METHOD, 0, 2**31)
#: A message of 2^62 bytes that begins, though no client consumes.
DELIVERY = method(1, spec.Basic.Deliver("tag", 1, False, "", "jobs"))
MESSAGE = DELIVERY + raw(spec.FRAME_HEADER, 1, struct.pack(">HHQH", 60, 0, 2**62, 0))
BODY = raw(spec.FRAME_BODY, 1, b"x" * 131_064)


def greeted(client: socket.socket, frame_max: int = 131_072) -> None:
    """Do as a broker does until the connection is open."""
    client.recv(8)
    client.sendall(method(0, spec.Connection.Start(0, 9, {"product": "RabbitMQ"}, "PLAIN", "en_US")))
    client.recv(65536)
    client.sendall(method(0, spec.Connection.Tune(2047, frame_max, 0)))
    seen = b""
    while b"\x00\x0a\x00\x28" not in seen:  # connection.open
        more = client.recv(65536)
        if not more:
            raise ConnectionError
        seen += more
    client.sendall(method(0, spec.Connection.OpenOk()))


def until_gone(client: socket.socket) -> None:
    """Read what comes until the other side has had enough."""
    while client.recv(65536):
        pass


def send(client: socket.socket, pieces: Iterable[bytes | Iterable[bytes]]) -> None:
    """Send the pieces; one may be many."""
    for piece in pieces:
        for part in [piece] if isinstance(piece, bytes) else piece:
            client.sendall(part)


def with_open_channel(then: Iterable[bytes | Iterable[bytes]]) -> Talk:
    """Open the connection and a channel; then send these pieces, and nothing else."""

    def talk(client: socket.socket) -> None:
        greeted(client)
        client.recv(65536)
        client.sendall(method(1, spec.Channel.OpenOk()))
        client.recv(65536)
        send(client, then)
        until_gone(client)

    return talk


def at_once(then: Iterable[bytes | Iterable[bytes]]) -> Talk:
    """Send these pieces to each client that connects."""

    def talk(client: socket.socket) -> None:
        client.recv(8)
        send(client, then)
        until_gone(client)

    return talk


def with_heartbeats(client: socket.socket) -> None:
    """A broker that lives and answers no declaration: what a hung channel looks like."""
    greeted(client)
    client.recv(65536)
    client.sendall(method(1, spec.Channel.OpenOk()))
    client.settimeout(0.5)
    while True:
        client.sendall(HEARTBEAT)
        try:
            if not client.recv(65536):
                return
        except TimeoutError:
            continue
