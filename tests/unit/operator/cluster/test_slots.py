"""A namespace with much to do keeps no other one waiting: for the API server, for workers, for room for big answers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_broker.tls import Tls
from workqueue_operator import web
from workqueue_operator.cluster.kubernetes_api import CONCURRENT_REQUESTS, KubernetesApi
from workqueue_operator.cluster.kubernetes_cluster import WORKERS_ASKED_AT_ONCE, KubernetesCluster
from workqueue_operator.cluster.kubernetes_values import pod_of
from workqueue_operator.cluster.port import Pod
from workqueue_operator.cluster.slots import Slots
from workqueue_operator.resource import Key

from tests.support.hostile_server import MIB, HostileServer, answer, http, read_head
from tests.support.recording_api import Answer, Content, Response


@dataclass
class Held:
    """Notes what is asked for, and answers each when it is let go."""

    asked: list[str] = field(default_factory=list)
    held: list[asyncio.Event] = field(default_factory=list)

    async def ask(self, what: str) -> None:
        self.asked.append(what)
        self.held.append(asyncio.Event())
        await self.held[-1].wait()


class HeldApi(Held):
    """A transport of the Kubernetes adapter."""

    async def param_serialize(self, method: str, path: str, **_: Any) -> tuple[str, str]:
        return method, path

    async def call_api(self, _method: str, path: str, _request_timeout: float) -> Answer:
        await self.ask(path)
        return Answer(Response(Content(b'{"data": {}}')))


class HeldPages(Held):
    """A session, as far as a worker's page goes."""

    @asynccontextmanager
    async def get(self, url: str, **_: Any) -> AsyncIterator[Any]:
        await self.ask(url)
        yield Answer(Response(Content(b"")), status=500)


def asks(owner: str) -> Callable[[KubernetesCluster], Awaitable[Any]]:
    return lambda cluster: cluster.read_secret(Key(owner, "rabbitmq"))


def pod(owner: str) -> Pod:
    """One whose IP names its namespace, for the page that is asked for."""
    made = {"namespace": owner, "name": "w", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return pod_of({"metadata": made, "status": {"podIP": f"{owner}.test"}})


@pytest.mark.parametrize("kind", ["the API server", "workers"])
async def test_the_next_slot_is_the_neighbours_however_many_of_another_namespace_wait(kind: str) -> None:
    held = HeldApi() if kind == "the API server" else HeldPages()
    cluster = KubernetesCluster(KubernetesApi(held), held)  # type: ignore[arg-type] # fakes of what is used here
    most = CONCURRENT_REQUESTS if kind == "the API server" else WORKERS_ASKED_AT_ONCE

    def ask(owner: str) -> "asyncio.Task[Any]":
        asked = asks(owner)(cluster) if kind == "the API server" else cluster.ask_tasks_in_progress(pod(owner), 8000)
        return asyncio.ensure_future(asked)

    tasks = [ask("greedy") for _ in range(most + 20)]
    await until(lambda: len(held.asked) == most)
    tasks.append(ask("team"))
    await asyncio.sleep(0)
    held.held[0].set()
    await until(lambda: len(held.asked) == most + 1)
    assert "team" in held.asked[-1]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while True:
            if fact():
                return
            await asyncio.sleep(0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40), st.integers(1, 4))
def test_no_slot_is_lost_and_none_is_given_twice(callers: list[tuple[str, bool]], count: int) -> None:
    """Whichever caller is cancelled, at whatever moment."""
    asyncio.run(_all_served(callers, count))


async def _all_served(callers: Sequence[tuple[str, bool]], count: int) -> None:
    slots, now, most, served = Slots(count), 0, 0, 0

    async def work(owner: str) -> None:
        nonlocal now, most, served
        async with slots.of(owner):
            now += 1
            most = max(most, now)
            try:
                await asyncio.sleep(0)
                served += 1
            finally:
                now -= 1

    tasks = []
    for owner, cancelled in callers:
        tasks.append(asyncio.create_task(work(owner)))
        if cancelled:
            await asyncio.sleep(0)
            tasks[len(tasks) // 2].cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(count):  # all of them are there again
            await slots._take("d")
    assert most <= count
    assert served == sum(not task.cancelled() for task in tasks)


async def test_one_namespaces_big_answers_leave_room_for_the_neighbours() -> None:
    """Answers that come in nearly whole and then stay away hold their room until they are given up."""
    big = answer(b"[" + b" " * 7 * MIB + b"]")

    def nearly_all(client: socket.socket) -> None:
        read_head(client)
        client.sendall(big[:-1])
        client.recv(1)  # until the client has gone

    with HostileServer(nearly_all) as greedy, HostileServer(http(big)) as good:
        sites = [web.Site(f"http://127.0.0.1:{greedy.port}", ("u", "p"), Tls(), "greedy") for _ in range(8)]
        tasks = [asyncio.create_task(site.get("/api/queues", 60)) for site in sites]
        neighbour = web.Site(f"http://127.0.0.1:{good.port}", ("u", "p"), Tls(), "team")
        try:
            await until(lambda: sum(task.done() for task in tasks) >= 4)  # so much is refused with any bound of 32 MiB
            assert await neighbour.get("/api/queues", 60) == []
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            for site in (*sites, neighbour):
                await site.close()
    refused = [end for end in ends if isinstance(end, web.Unreachable)]
    assert len(refused) >= 4
    assert all("answers much while other big answers are read" in str(end) for end in refused)
