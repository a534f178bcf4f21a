"""Whether the worker lives and whether it consumes, and the HTTP server that tells it, with the metrics.

Liveness is the connection thread's tick and never depends on the broker. Readiness is consuming, and never means idle.
"""

import socket
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from workqueue_worker.metrics import CONTENT_TYPE, WorkerMetrics

#: Seconds without a tick after which the worker counts as stuck. A connection that hangs is noticed in under a minute.
STUCK_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether tasks come in, and the reason in one line."""

    ready: bool
    text: str


@dataclass(frozen=True, slots=True)
class _Held:
    text: str
    #: Waiting does not help: a person must change something first.
    lasting: bool


class Health:
    """Written by the connection's thread and the task threads, read by the probes."""

    def __init__(self) -> None:
        self._readiness = Readiness(ready=False, text="starting: not connected yet")
        self._holding: dict[Hashable, _Held] = {}
        self._ticked_at = time.monotonic()

    @property
    def readiness(self) -> Readiness:
        """Whether tasks come in. Not while a failed task is held for a reason that lasts: the worker takes no more."""
        if self._readiness.ready and self.takes_no_more:
            return Readiness(ready=False, text="takes no new task while it must hold one")
        return self._readiness

    @readiness.setter
    def readiness(self, readiness: Readiness) -> None:
        self._readiness = readiness

    @property
    def takes_no_more(self) -> bool:
        """True while a task is held for a reason that lasts: another task could end the same way."""
        return any(held.lasting for held in list(self._holding.values()))

    def hold(self, holder: Hashable, text: str, *, lasting: bool = False) -> None:
        """Report what keeps a failed task unacknowledged, until it is released.

        `lasting`: only a person can change it, so the worker is not ready and takes no new tasks.
        """
        self._holding[holder] = _Held(text, lasting)

    def release(self, holder: Hashable) -> None:
        """This one is held no more."""
        self._holding.pop(holder, None)

    @property
    def holding(self) -> str | None:
        """How many failed tasks are held, and why the last one is, one that lasts first; None when none is held."""
        held = sorted(self._holding.values(), key=lambda one: one.lasting)
        if not held:
            return None
        return f"holding {'a failed task' if len(held) == 1 else f'{len(held)} failed tasks'}: {held[-1].text}"

    def tick(self) -> None:
        """Say that the connection's thread is alive."""
        self._ticked_at = time.monotonic()

    @property
    def seconds_since_tick(self) -> float:
        """How long the connection's thread has been silent."""
        return time.monotonic() - self._ticked_at


class ProbeServer:
    """/metrics, /healthz and /readyz; answers until the process ends, also while the worker leaves."""

    def __init__(self, port: int, health: Health, metrics: WorkerMetrics) -> None:
        """Listen; port 0 takes a free one. Raises OSError when the port is taken."""
        self._server = _Server(port, {"/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz})
        self._health = health
        self._page = metrics.page
        threading.Thread(target=self._server.serve_forever, name="probes", daemon=True).start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def _metrics(self) -> tuple[int, str, bytes]:
        return 200, CONTENT_TYPE, self._page()

    def _healthz(self) -> tuple[int, str, bytes]:
        silent = self._health.seconds_since_tick
        if silent > STUCK_SECONDS:
            return _text(503, f"stuck: the connection's thread has been silent for {silent:.0f} s")
        return _text(200, "alive")

    def _readyz(self) -> tuple[int, str, bytes]:
        readiness, holding = self._health.readiness, self._health.holding
        text = readiness.text if holding is None else f"{readiness.text}; {holding}"
        return _text(200 if readiness.ready else 503, text)


def _text(status: int, text: str) -> tuple[int, str, bytes]:
    return status, "text/plain; charset=utf-8", f"{text}\n".encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def __init__(self, port: int, pages: dict) -> None:  # type: ignore[type-arg]
        self.pages = pages
        super().__init__(("", port), _Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Handler(BaseHTTPRequestHandler):
    timeout = 10  # seconds; a client that says nothing holds no thread for ever

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0], _not_found)  # type: ignore[attr-defined]
        status, content_type, body = page()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing: probes come every few seconds."""


def _not_found() -> tuple[int, str, bytes]:
    return _text(404, "here are /metrics, /healthz and /readyz")
