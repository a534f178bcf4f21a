"""Our own port: /metrics and /healthz, for a scraper and a kubelet, and bounded for any other client.

A request's head has a deadline and a size, connections have a number, and the page of metrics is kept for a while,
as making it for thousands of WorkQueues takes the event loop much time.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

#: Seconds that a connection may take, and bytes of a request's head.
CONNECTION_SECONDS = 10.0
MAX_HEAD_BYTES = 16 * 1024
#: Connections at once. One more ends the oldest, which had its time: a kubelet's request is always answered.
MOST_CONNECTIONS = 50
#: Seconds for which a page of metrics serves all requests, and for how many times the time that it took to make.
METRICS_SECONDS = 1.0
METRICS_SHARE = 20.0


@dataclass(frozen=True)
class Health:
    """What the probes are answered."""

    fine: bool
    #: Names no broker, login or namespace: any client that reaches the pod may ask.
    text: str = "ok"


class Server:
    """Serves until it is closed."""

    def __init__(self, registry: CollectorRegistry, health: Callable[[], Health]) -> None:
        self._registry = registry
        self._health = health
        self._server: asyncio.Server | None = None
        #: The connections there are, oldest first.
        self._tasks: dict[asyncio.Task[None], None] = {}
        #: The page that is being made; None: none is.
        self._making: asyncio.Task[None] | None = None
        self._page = b""
        self._page_until = float("-inf")

    @property
    def port(self) -> int:
        """The port that is listened on; 0 while none is."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server else 0

    async def listen(self, port: int, host: str | None = None) -> None:
        """Start to serve, without a host on all addresses; raises OSError when the port cannot be had."""
        self._server = await asyncio.start_server(self._connected, host, port, limit=MAX_HEAD_BYTES)

    async def close(self) -> None:
        """End all connections."""
        if self._server:
            self._server.close()
        tasks = [*self._tasks, *((self._making,) if self._making else ())]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= MOST_CONNECTIONS:
            next(iter(self._tasks)).cancel()
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(CONNECTION_SECONDS):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._answer(head))
                    writer.write_eof()
                    await writer.drain()
                    while await reader.read(MAX_HEAD_BYTES):  # till the other side has all of it and closes
                        pass
        finally:
            writer.transport.abort()

    async def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", b"")
        if path == b"/metrics":
            return _response("200 OK", await self._metrics(), "text/plain; version=0.0.4; charset=utf-8")
        if path == b"/healthz":
            health = self._health()
            return _response("200 OK" if health.fine else "503 Service Unavailable", f"{health.text}\n".encode())
        return _response("404 Not Found", b"")

    async def _metrics(self) -> bytes:
        """The page, made once for all requests: a connection that ends does not end its making."""
        if self._making is None and time.monotonic() >= self._page_until:
            self._making = asyncio.create_task(self._make_page())
        if self._making:
            await asyncio.shield(self._making)
        return self._page

    async def _make_page(self) -> None:
        """One metric in each turn of the event loop."""
        started = time.monotonic()
        try:
            pieces = []
            for family in self._registry.collect():
                pieces.append(generate_latest(_One(family)))
                await asyncio.sleep(0)
            self._page = b"".join(pieces)
            self._page_until = started + max(METRICS_SECONDS, METRICS_SHARE * (time.monotonic() - started))
        finally:
            self._making = None


@dataclass(frozen=True)
class _One(Collector):
    """One metric, as the library takes it."""

    family: Metric

    def collect(self) -> Iterable[Metric]:
        return (self.family,)


def _response(status: str, body: bytes, content_type: str = "text/plain; charset=utf-8") -> bytes:
    head = (f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", "Connection: close")
    return "\r\n".join((*head, "", "")).encode() + body
