"""A server in a broker's place that is none: it accepts, says the same to everybody, and nothing more."""

import contextlib
import socket
import threading
from types import TracebackType

#: What some web servers answer to AMQP's greeting.
ANOTHER_LANGUAGE = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
SILENCE = b""
#: A frame of the method connection.start that ends in the middle of its numbers.
BROKEN_AMQP = b"\x01\x00\x00\x00\x00\x00\x05\x00\x0a\x00\x0a\x00\xce"


class Stranger:
    """Listens on loopback; `accepted` counts who came."""

    def __init__(self, says: bytes) -> None:
        self.accepted = 0
        self._says = says
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> "Stranger":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        for one in (self._listener, *self._connections):
            one.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self.accepted += 1
                with contextlib.suppress(OSError):
                    connection.sendall(self._says)
