"""HTTP in both directions, with aiohttp, which comes with kopf: asks others, and serves our own metrics and health.

The only importer of aiohttp beside the Kubernetes adapter, which needs its exceptions.
"""

import functools
import math
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from workqueue_broker.errors import InvalidAddress
from workqueue_broker.tls import Tls, management_context_of

Session = aiohttp.ClientSession

TASKS_IN_PROGRESS = "workqueue_tasks_in_progress"
#: A page longer than this is not one of a worker's.
MAX_PAGE_BYTES = 2**20
#: More tasks than any worker has: a number above it is none.
MOST_TASKS = 1e9
#: One sample of the gauge: labels, whose values may hold anything, then the value, then perhaps a time.
_SAMPLE = re.compile(rf"{TASKS_IN_PROGRESS}(?:\{{.*\}})?\s+(\S+)(?:\s+\S+)?\s*")


def open_session() -> Session:
    """A session whose connections nobody has to queue for: a deadline must measure the other side, not our queue.

    aiohttp's own bound is 100 connections; who asks many at once bounds that himself.
    """
    return Session(connector=aiohttp.TCPConnector(limit=0))


async def fetch_text(session: Session, url: str, timeout_seconds: float) -> str | None:
    """The page, or None when there is no whole one in time; the caller knows what no answer means."""
    try:
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        async with session.get(url, timeout=timeout, allow_redirects=False) as response:
            page = await _read_whole(response.content) if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None
    return None if page is None else page.decode("utf-8", errors="replace")


async def _read_whole(content: aiohttp.StreamReader) -> bytes | None:
    """All there is, since one read gives only what has come so far; None when there is too much."""
    page = bytearray()
    async for piece in content.iter_any():
        page += piece
        if len(page) > MAX_PAGE_BYTES:
            return None
    return bytes(page)


class Unreachable(Exception):
    """No usable answer; the message names the address, without its login, and says why."""


class Refused(Unreachable):
    """The other side answers that it will not do it."""

    def __init__(self, message: str, status: int, page: str) -> None:
        super().__init__(message)
        #: HTTP's, from 400 to 499, and what came with it.
        self.status = status
        self.page = page


@dataclass(frozen=True)
class Site:
    """Whom to ask, and with which login."""

    session: Session
    base: str
    login: tuple[str, str] = field(repr=False)
    tls: Tls

    @functools.cached_property
    def _context(self) -> ssl.SSLContext | bool:
        """For https alone: making it takes the reading of all authorities that the system knows."""
        return management_context_of(self.tls) if self.base.lower().startswith("https:") else True

    async def get(self, path: str, timeout_seconds: float) -> str:
        """The page; raises Unreachable."""
        return await self._ask("GET", path, None, timeout_seconds)

    async def put(self, path: str, body: Mapping[str, Any], timeout_seconds: float) -> None:
        """Store the body as JSON; raises Unreachable."""
        await self._ask("PUT", path, body, timeout_seconds)

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None, timeout_seconds: float) -> str:
        place = self.base + path.partition("?")[0]
        try:
            timeout = aiohttp.ClientTimeout(total=timeout_seconds)
            headers = {"Authorization": aiohttp.encode_basic_auth(*self.login)}
            url = self.base + path
            asked = self.session.request(method, url, headers=headers, json=body, timeout=timeout, ssl=self._context)
            async with asked as response:
                page = await response.text()
        except aiohttp.ClientConnectorCertificateError as error:
            why = f"{error.certificate_error}; its authority must be in ca.crt, or one of the system's"
            text = f"{place}: its certificate cannot be verified: {why}"
            raise Unreachable(text) from error
        except (aiohttp.ClientError, TimeoutError, OSError, InvalidAddress) as error:
            raise Unreachable(f"{place} cannot be reached: {error or type(error).__name__}") from error
        if response.ok:
            return page
        text = f"{place} answers {response.status} {response.reason}"
        raise Refused(text, response.status, page) if response.status < 500 else Unreachable(text)


def tasks_in_progress(page: str) -> int | None:
    """The sum over the worker's queues in its metrics page; None when the page does not tell in whole.

    A part of a task counts as one. What cannot be a number of tasks (NaN, infinite, below 0) is no answer.
    """
    values = [_value(line) for line in page.split("\n") if _is_sample(line)]
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return math.ceil(sum(known))


def _is_sample(line: str) -> bool:
    """Whether it is one of the gauge itself, and not of a metric whose name only begins like it."""
    name, rest = line[: len(TASKS_IN_PROGRESS)], line[len(TASKS_IN_PROGRESS) :]
    return name == TASKS_IN_PROGRESS and rest[:1] in ("", "{", " ", "\t", "\r")


def _value(line: str) -> float | None:
    found = _SAMPLE.fullmatch(line)
    try:
        value = float(found[1]) if found else math.nan
    except ValueError:
        return None
    return value if 0 <= value <= MOST_TASKS else None


async def serve(port: int, registry: CollectorRegistry, trouble: Callable[[], str | None]) -> web.AppRunner:
    """Serve /metrics and /healthz on all addresses; `trouble` says what is wrong with the loops, or None."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def healthz(_: web.Request) -> web.Response:
        told = trouble()
        return web.Response(text=(told or "ok") + "\n", status=503 if told else 200)

    application = web.Application()
    application.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, None, port).start()
    return runner
