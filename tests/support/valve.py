"""A proxy before a broker that stops to pass on the broker's answers once a client has published."""

import contextlib
import socket
import threading
from types import TracebackType

#: Class 60, method 40: the start of every basic.publish in a method frame.
PUBLISH = b"\x00\x3c\x00\x28"


class Valve:
    """Listens on loopback; passes everything on until a test asks it to close after a publish."""

    def __init__(self, behind_port: int) -> None:
        self._behind = ("127.0.0.1", behind_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._to_be_closed = False
        #: Connections so far.
        self.accepted = 0

    def close_after_publish(self) -> None:
        """From the next publish on, that connection's client hears nothing more."""
        self._to_be_closed = True

    def __enter__(self) -> "Valve":
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                self.accepted += 1
                broker = socket.create_connection(self._behind)
                closed = threading.Event()
                for source, sink, asks in ((client, broker, True), (broker, client, False)):
                    threading.Thread(target=self._pass_on, args=(source, sink, closed, asks), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, closed: threading.Event, asks: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if asks and self._to_be_closed and PUBLISH in data:
                    closed.set()
                if asks or not closed.is_set():
                    sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
