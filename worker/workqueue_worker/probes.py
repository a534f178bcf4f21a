"""The HTTP server of /metrics, /healthz and /readyz: one thread, however many clients, and however slow they are.

A kubelet kills a worker whose /healthz does not answer, so no client may keep another one from its answer: a request
has a deadline as a whole, and when too many connections wait, the one that has waited longest is closed. The handler's
own collectors are waited for in a second thread, for one page at a time.
"""

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

from workqueue_worker.health import Health
from workqueue_worker.metrics import CONTENT_TYPE, WorkerMetrics

#: Seconds without a tick after which the worker counts as stuck. A connection that hangs is noticed in under a minute.
STUCK_SECONDS = 90.0
#: Connections at a time.
MOST_CONNECTIONS = 100
#: Seconds from the connection to the last byte of the answer.
REQUEST_SECONDS = 10.0
#: Bytes of a request's head.
HEAD_BYTES = 16384

#: Status, content type, body.
Page = tuple[int, str, bytes]

_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class ProbeServer:
    """Answers until the process ends, also while the worker leaves."""

    def __init__(
        self, port: int, health: Health, metrics: WorkerMetrics, request_seconds: float = REQUEST_SECONDS
    ) -> None:
        """Listen; port 0 takes a free one. Raises OSError when the port is taken."""
        self._pages = {"/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz}
        self._health = health
        self._worker_metrics = metrics
        #: The page that is built now, while nothing of the worker's own was read for it yet.
        self._building: asyncio.Task[Page] | None = None
        self._collecting = ThreadPoolExecutor(max_workers=1, thread_name_prefix="metrics")
        self._request_seconds = request_seconds
        #: The connections that are open, in the order in which they came.
        self._open: dict[asyncio.Task[None] | None, None] = {}
        self._socket = _listen(port)
        self._loop = asyncio.new_event_loop()
        self._closed = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Stop answering."""
        self._loop.call_soon_threadsafe(self._closed.set)
        self._thread.join()
        self._collecting.shutdown(wait=False)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._answer, sock=self._socket, limit=HEAD_BYTES)
        await self._closed.wait()
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._make_room()
        self._open[task] = None
        try:
            async with asyncio.timeout(self._request_seconds):
                writer.write(await self._response(await reader.readuntil(b"\r\n\r\n")))
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, asyncio.CancelledError):
            pass  # too slow, too long, gone, or one too many: closed without an answer
        finally:
            self._open.pop(task, None)
            writer.transport.abort()

    def _make_room(self) -> None:
        if len(self._open) >= MOST_CONNECTIONS:
            longest = next(iter(self._open))
            del self._open[longest]
            if longest:
                longest.cancel()

    async def _response(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        page = self._pages.get(rest.partition(" ")[0].partition("?")[0], _not_found)
        status, content_type, body = await page() if method in ("GET", "HEAD") else _only_get()
        fields = (
            f"HTTP/1.1 {status} {_REASONS[status]}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        return "\r\n".join((*fields, "", "")).encode() + (b"" if method == "HEAD" else body)

    async def _metrics(self) -> Page:
        """One page for all waiting requests. The worker's numbers in it are never older than any of their requests."""
        if self._building is None:
            self._building = asyncio.create_task(self._build())
        return await asyncio.shield(self._building)

    async def _build(self) -> Page:
        of_the_handler = b""
        try:
            loop = asyncio.get_running_loop()
            of_the_handler = await loop.run_in_executor(self._collecting, self._worker_metrics.of_the_handler)
        except RuntimeError:
            pass  # a handler has used up all threads: the operator must still learn whether the worker is idle
        finally:
            self._building = None
        return 200, CONTENT_TYPE, self._worker_metrics.page(of_the_handler)

    async def _healthz(self) -> Page:
        silent = self._health.seconds_since_tick
        if silent > STUCK_SECONDS:
            return _text(503, f"stuck: the connection's thread has been silent for {silent:.0f} s")
        return _text(200, "alive")

    async def _readyz(self) -> Page:
        readiness, holding = self._health.readiness, self._health.holding
        text = readiness.text if holding is None else f"{readiness.text}; {holding}"
        return _text(200 if readiness.ready else 503, text)


def _listen(port: int) -> socket.socket:
    """On all addresses, IPv6 and IPv4."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
    return socket.create_server(("", port), backlog=1024)


def _text(status: int, text: str) -> Page:
    return status, "text/plain; charset=utf-8", f"{text}\n".encode()


async def _not_found() -> Page:
    return _text(404, "here are /metrics, /healthz and /readyz")


def _only_get() -> Page:
    return _text(405, "GET and HEAD only")
