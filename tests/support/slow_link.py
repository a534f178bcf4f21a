"""A link to a broker that takes its time: every byte arrives, each way, so many seconds after it was sent."""

import contextlib
import queue
import socket
import threading
import time
from types import TracebackType


class SlowLink:
    """Listens on loopback and passes on to another port there. `latency_seconds`, each way, may be set at any time."""

    def __init__(self, behind_port: int) -> None:
        self.latency_seconds = 0.0
        self._behind = ("127.0.0.1", behind_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> "SlowLink":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        # Shut down before it is closed: the system would accept once more for the thread that waits for it.
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                outside, _ = self._listener.accept()
                inside = socket.create_connection(self._behind)
                self._sockets += (outside, inside)
                for source, sink in ((outside, inside), (inside, outside)):
                    on_the_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
                    threading.Thread(target=self._take, args=(source, on_the_way), daemon=True).start()
                    threading.Thread(target=_deliver, args=(on_the_way, sink), daemon=True).start()

    def _take(self, source: socket.socket, on_the_way: "queue.SimpleQueue[tuple[float, bytes]]") -> None:
        data = b"more"
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            on_the_way.put((time.monotonic() + self.latency_seconds, data))


def _deliver(on_the_way: "queue.SimpleQueue[tuple[float, bytes]]", sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            due, data = on_the_way.get()
            time.sleep(max(0.0, due - time.monotonic()))  # the latency itself: nothing is waited for
            if not data:
                sink.shutdown(socket.SHUT_RDWR)
                return
            sink.sendall(data)
