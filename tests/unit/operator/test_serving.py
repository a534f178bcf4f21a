"""The operator's own port: what it answers, and what those cost who ask without end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from workqueue_operator.serving import MAX_HEAD_BYTES, MOST_CONNECTIONS, Health, Server


class Counted(Collector):
    """A number that counts how often it was made."""

    made = 0

    def collect(self) -> list[Metric]:
        self.made += 1
        return [GaugeMetricFamily("made", "So often", self.made)]


@asynccontextmanager
async def serving(health: Health | None = None, *more: Collector) -> AsyncIterator[tuple[Server, Counted]]:
    registry, counted = CollectorRegistry(), Counted()
    for collector in (counted, *more):
        registry.register(collector)
    server = Server(registry, lambda: health or Health(True))
    await server.listen(0, "127.0.0.1")
    try:
        yield server, counted
    finally:
        await server.close()


async def ask(server: Server, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_probe_is_answered_by_health() -> None:
    async with serving() as (server, _):
        answer = await ask(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nok\n")
    async with serving(Health(False, "assign")) as (server, _):
        answer = await ask(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert answer.endswith(b"\r\n\r\nassign\n")


async def test_what_is_not_served() -> None:
    async with serving() as (server, _):
        assert b" 404 " in await ask(server, b"GET /else HTTP/1.1\r\n\r\n")
        assert b" 405 " in await ask(server, b"POST /metrics HTTP/1.1\r\n\r\n")


async def test_one_page_of_metrics_serves_all_who_ask_at_once() -> None:
    async with serving() as (server, counted):
        before = counted.made  # registering collects once
        request = b"GET /metrics?x=1 HTTP/1.1\r\n\r\n"
        answers = await asyncio.gather(*(ask(server, request) for _ in range(20)))
    assert counted.made == before + 1
    assert len(set(answers)) == 1
    assert b"\nmade %d.0\n" % counted.made in answers[0]


async def test_between_two_metrics_of_a_page_the_event_loop_goes_on() -> None:
    """A page of a thousand WorkQueues takes a fifth of a second, and readings go on during that time."""
    turns, seen = 0, []

    class Many(Collector):
        def collect(self) -> Iterator[Metric]:
            for number in range(5):
                seen.append(turns)
                yield GaugeMetricFamily(f"m{number}", "One of several", number)

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with serving(None, Many()) as (server, _):
        seen.clear()  # registering collects once
        ticking = asyncio.create_task(tick())
        answer = await ask(server, b"GET /metrics HTTP/1.1\r\n\r\n")
        ticking.cancel()
    assert all(before < after for before, after in pairwise(seen))
    assert len(seen) == 5
    assert answer.endswith(b"m4 4.0\n")


async def test_a_page_is_made_though_the_one_who_asked_is_gone() -> None:
    async with serving() as (server, counted):
        before = counted.made
        for _ in range(MOST_CONNECTIONS):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
            writer.transport.abort()
        assert b"\nmade " in await ask(server, b"GET /metrics HTTP/1.1\r\n\r\n")
        assert counted.made == before + 1


async def test_a_kubelet_is_answered_though_others_hold_all_connections() -> None:
    async with serving() as (server, _):
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3 * MOST_CONNECTIONS)]
        for _, writer in held:
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: half")
        assert (await ask(server, b"GET /healthz HTTP/1.1\r\n\r\n")).endswith(b"ok\n")
        closed = [asyncio.create_task(reader.read()) for reader, _ in held]
        done, _ = await asyncio.wait(closed, timeout=5)
        assert len(done) >= 2 * MOST_CONNECTIONS
        for _, writer in held:
            writer.close()
        for task in closed:
            task.cancel()
        await asyncio.wait(closed)
        await asyncio.gather(*closed, return_exceptions=True)


async def test_a_head_without_an_end_is_cut_off() -> None:
    async with serving() as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"x" * 4 * MAX_HEAD_BYTES)
        try:
            assert await reader.read() == b""
        except ConnectionError:
            pass
        finally:
            writer.close()
