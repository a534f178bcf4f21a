"""HTTP in both directions, with aiohttp, which comes with kopf: asks others, and serves our own metrics and health.

The only importer of aiohttp beside the Kubernetes adapter, which needs its exceptions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

Session = aiohttp.ClientSession

TASKS_IN_PROGRESS = "workqueue_tasks_in_progress"
#: A page longer than this is not one of a worker's.
MAX_PAGE_BYTES = 2**20


async def fetch_text(session: Session, url: str, timeout_seconds: float) -> str | None:
    """The page, or None when there is none in time; the caller knows what no answer means."""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=timeout_seconds)) as response:
            if response.status != 200:
                return None
            return (await response.content.read(MAX_PAGE_BYTES)).decode("utf-8", errors="replace")
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


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
            async with self.session.request(method, url, headers=headers, json=body, timeout=timeout) as response:
                page = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{place} cannot be reached: {error or type(error).__name__}") from error
        if response.ok:
            return page
        text = f"{place} answers {response.status} {response.reason}"
        raise Refused(text, response.status, page) if response.status < 500 else Unreachable(text)


def tasks_in_progress(page: str) -> int | None:
    """The sum over the worker's queues in its metrics page; None when the page does not tell."""
    lines = "\n".join(line for line in page.splitlines() if line.startswith(TASKS_IN_PROGRESS))
    try:
        samples = [sample for family in text_string_to_metric_families(lines + "\n") for sample in family.samples]
    except ValueError:
        return None
    values = [sample.value for sample in samples if sample.name == TASKS_IN_PROGRESS]
    return int(sum(values)) if values else None


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
