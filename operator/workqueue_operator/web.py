"""HTTP in both directions, with aiohttp, which comes with kopf: asks others, and serves our own metrics and health.

The only importer of aiohttp beside the Kubernetes adapter, which needs its exceptions.
"""

from collections.abc import Callable

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


async def fetch_with_login(session: Session, url: str, login: tuple[str, str], timeout_seconds: float) -> str:
    """The page; raises Unreachable."""
    place = url.partition("?")[0]
    try:
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        headers = {"Authorization": aiohttp.encode_basic_auth(*login)}
        async with session.get(url, headers=headers, timeout=timeout) as response:
            if response.status != 200:
                raise Unreachable(f"{place} answers {response.status} {response.reason}")
            return await response.text()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unreachable(f"{place} cannot be reached: {error or type(error).__name__}") from error


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
