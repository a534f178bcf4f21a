"""A server on loopback that does to each client what a test wants: any bytes, as many as the client takes."""

import contextlib
import socket
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

MIB = 2**20
#: More than any attack needs; a client that takes all of it has no bound.
MOST_BYTES = 600 * MIB


class HostileServer:
    """Each connection has a thread, in which `talk` has the socket."""

    def __init__(self, talk: Callable[[socket.socket], None]) -> None:
        #: Who came.
        self.visits = 0
        #: Who has not gone.
        self.open = 0
        self._talk = talk
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "HostileServer":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                self.visits += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self.open += 1
        with contextlib.suppress(OSError), client:
            self._talk(client)
        self.open -= 1


def http(*pieces: bytes | Iterable[bytes]) -> Callable[[socket.socket], None]:
    """Answer one request with these pieces, and close."""

    def talk(client: socket.socket) -> None:
        read_head(client)
        for piece in pieces:
            for part in [piece] if isinstance(piece, bytes) else piece:
                client.sendall(part)

    return talk


def read_head(client: socket.socket) -> bytes:
    """A request's head."""
    head = b""
    while b"\r\n\r\n" not in head and (more := client.recv(65536)):
        head += more
    return head


def answer(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """A whole HTTP answer; underscores in the names of headers are hyphens."""
    given = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = (f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in given.items()), "", "")
    return "\r\n".join(lines).encode() + body


class Endless:
    """Pieces of a body up to MOST_BYTES."""

    def __init__(self, piece: bytes) -> None:
        self._piece = piece

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(MOST_BYTES // len(self._piece)):
            yield self._piece


def gzip_bomb(size: int = MOST_BYTES) -> bytes:
    """Zeros that take a thousandth of their size on their way."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(bytes(MIB)) for _ in range(size // MIB))
    return packed + packer.flush()
