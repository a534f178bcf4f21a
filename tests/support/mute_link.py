"""A proxy before a broker that swallows the broker's answers of one kind, such as queue.declare-ok."""

import contextlib
import socket
import struct
import threading
from types import TracebackType

import pika

_HEADER = struct.Struct(">BHL")
_END_BYTES = 1
_METHODS = {
    vars(method)["NAME"].lower(): vars(method)["INDEX"]
    for group in vars(pika.spec).values()
    if isinstance(group, type)
    for method in vars(group).values()
    if isinstance(method, type) and hasattr(method, "INDEX")
}


class MuteLink:
    """Listens on loopback; `answer` is the name of the method that never arrives. May be set at any time."""

    def __init__(self, behind_port: int, answer: str | None = None) -> None:
        self.answer = answer
        self._behind = ("127.0.0.1", behind_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> "MuteLink":
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._listener.close()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection(self._behind)
                self._sockets += (client, broker)
                for task, source, sink in ((_pass_on, client, broker), (self._pass_frames, broker, client)):
                    threading.Thread(target=task, args=(source, sink), daemon=True).start()

    def _pass_frames(self, broker: socket.socket, client: socket.socket) -> None:
        buffer = b""
        with contextlib.suppress(OSError):
            while data := broker.recv(65536):
                buffer += data
                while (end := _frame_end(buffer)) is not None:
                    frame, buffer = buffer[:end], buffer[end:]
                    if _method(frame) != _METHODS.get(self.answer or ""):
                        client.sendall(frame)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


def _frame_end(buffer: bytes) -> int | None:
    if len(buffer) < _HEADER.size:
        return None
    end = _HEADER.size + _HEADER.unpack_from(buffer)[2] + _END_BYTES
    return end if len(buffer) >= end else None


def _method(frame: bytes) -> int | None:
    """Class and method as one number, pika's INDEX; None for a frame of another kind."""
    is_method = frame[0] == pika.spec.FRAME_METHOD
    return int.from_bytes(frame[_HEADER.size : _HEADER.size + 4], "big") if is_method else None
