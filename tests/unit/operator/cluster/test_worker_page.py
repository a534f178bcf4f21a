"""What a worker's metrics page reports, and what counts as no answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from workqueue_operator import web
from workqueue_operator.cluster import worker_page

GAUGE = worker_page.TASKS_IN_PROGRESS


@pytest.mark.parametrize(
    ("page", "tasks"),
    [
        (f"{GAUGE} 0", 0),
        (f'# HELP {GAUGE} Tasks\n# TYPE {GAUGE} gauge\n{GAUGE}{{queue="a"}} 1.0\n', 1),
        (f'{GAUGE}{{queue="a"}} 1\n{GAUGE}{{queue="b"}} 2', 3),
        (GAUGE + '{queue="a } 7 {"} 1 1700000000000', 1),
        (f"{GAUGE} 0.5", 1),
        (f"{GAUGE}_created 5\n{GAUGE} 0", 0),
    ],
)
def test_a_page_with_the_gauge_is_an_answer(page: str, tasks: int) -> None:
    assert worker_page.tasks_in_progress(page.encode()) == tasks


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "-1", "-0.5", "many", "", "1e300"])
def test_what_cannot_be_a_number_of_tasks_is_no_answer(value: str) -> None:
    assert worker_page.tasks_in_progress(f"{GAUGE} {value}".encode()) is None
    assert worker_page.tasks_in_progress(f'{GAUGE}{{queue="a"}} 0\n{GAUGE}{{queue="b"}} {value}'.encode()) is None


@pytest.mark.parametrize(("values", "tasks"), [((4000, 6000), 10_000), ((6000, 6000), None), ((10_001,), None)])
def test_more_tasks_than_any_worker_has_are_no_answer(values: tuple[int, ...], tasks: int | None) -> None:
    page = "".join(f'{GAUGE}{{queue="{number}"}} {value}\n' for number, value in enumerate(values))
    assert worker_page.tasks_in_progress(page.encode()) == tasks


@pytest.mark.parametrize("page", ["", "up 1", f"# {GAUGE} 0", f"{GAUGE}s 0", f'{GAUGE}{{queue="a"'])
def test_a_page_without_the_gauge_is_no_answer(page: str) -> None:
    assert worker_page.tasks_in_progress(page.encode()) is None


@given(st.text(), st.text())
@example("{", " 1")
def test_no_page_is_an_exception(labels: str, value: str) -> None:
    tasks = worker_page.tasks_in_progress(f"{GAUGE}{labels} {value}".encode(errors="replace"))
    assert tasks is None or tasks >= 0


@pytest.mark.parametrize(
    "page",
    [
        (f"{GAUGE} 0\n" * (worker_page.MOST_SAMPLES + 1)).encode(),
        f'{GAUGE}{{queue="{"x" * worker_page.MAX_SAMPLE_BYTES}"}} 0'.encode(),
    ],
)
def test_more_or_longer_samples_than_any_worker_has_are_no_answer(page: bytes) -> None:
    assert worker_page.tasks_in_progress(page) is None


@asynccontextmanager
async def worker(*pieces: bytes) -> AsyncIterator[str]:
    """A server that answers in these pieces, each when the one before was taken; gives its URL."""
    connections: list[asyncio.Task[None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):  # the other side may have had enough
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                for _ in range(20):  # until the reader, in this same loop, has had its turns
                    await asyncio.sleep(0)
            writer.close()
            await writer.wait_closed()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.ensure_future(answer(reader, writer)))
        await asyncio.wait([connections[-1]])

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/metrics"
    await asyncio.gather(*connections)


def headers(length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()


async def test_a_page_that_comes_in_pieces_is_read_to_its_end() -> None:
    page = f"# half a page\n{GAUGE} 0\n".encode()
    async with (
        web.open_session() as session,
        worker(headers(len(page)) + page[:10], page[10:]) as url,
    ):
        assert await web.fetch_page(session, url, 10) == page


async def test_a_page_that_ends_too_soon_is_no_answer() -> None:
    async with web.open_session() as session, worker(headers(100) + b"half") as url:
        assert await web.fetch_page(session, url, 10) is None


async def test_a_page_without_an_end_is_no_answer() -> None:
    piece = b"x" * 2**16
    async with (
        web.open_session() as session,
        worker(b"HTTP/1.1 200 OK\r\n\r\n", *[piece] * 5) as url,
    ):
        assert await web.fetch_page(session, url, 10) is None


async def test_a_redirection_is_not_followed() -> None:
    """The server that answers there is not the worker."""
    answer = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with web.open_session() as session, worker(answer) as url:
        assert await web.fetch_page(session, url, 10) is None


async def test_a_hundred_and_twenty_workers_are_asked_at_once() -> None:
    """Were some of them to queue for a connection, the queue would be part of the worker's second."""
    waiting, everybody = 0, asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal waiting
        await reader.readuntil(b"\r\n\r\n")
        waiting += 1
        if waiting == 120:
            everybody.set()
        await everybody.wait()
        writer.write(headers(2) + b"up")
        await reader.read()  # until the other side closes
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/metrics"
    async with server:
        async with web.open_session() as session:
            pages = await asyncio.gather(*(web.fetch_page(session, url, 10) for _ in range(120)))
        assert pages == [b"up"] * 120
