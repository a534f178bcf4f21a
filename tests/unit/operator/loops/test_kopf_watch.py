"""The watch of each namespace is its own: one that is refused, or gone, costs no other namespace anything."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from kubernetes.aio import client
from prometheus_client import CollectorRegistry
from workqueue_operator import web
from workqueue_operator.clock import SystemClock
from workqueue_operator.cluster.kubernetes_api import KubernetesApi
from workqueue_operator.cluster.kubernetes_cluster import KubernetesCluster
from workqueue_operator.loops.border import Loops, watch_name
from workqueue_operator.loops.kopf_watch import Leaving, Watch
from workqueue_operator.metrics import Metrics, WatchCollector
from workqueue_operator.resource import Key
from workqueue_operator.store import Store

from tests.support.fake_api import FakeApi, deployment, workqueue
from tests.support.http_server import HttpServer

HERE, THERE = "here", "there"


@dataclass
class Watching:
    """The watches of two namespaces, which run."""

    api: FakeApi
    asked: list[str]
    store: Store
    loops: Loops
    registry: CollectorRegistry

    async def until(self, fact: Callable[[], object], what: str) -> None:
        deadline = asyncio.get_running_loop().time() + 60
        while not fact():
            assert asyncio.get_running_loop().time() < deadline, f"not seen: {what}; known: {self.store.keys()}"
            await asyncio.sleep(0.02)

    async def until_known(self, *keys: Key) -> None:
        await self.until(lambda: self.store.keys() == frozenset(keys), f"the store has {keys}")

    def watched(self, namespace: str) -> float | None:
        return self.registry.get_sample_value("workqueue_operator_namespace_watched", {"namespace": namespace})

    def failures(self) -> float:
        return self.registry.get_sample_value("workqueue_operator_loop_failures_total", {"loop": "watch"}) or 0


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@asynccontextmanager
async def watching(api: FakeApi, directory: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watching]:
    with HttpServer(api) as server:
        write_kubeconfig(directory / "kubeconfig", server.uri)
        monkeypatch.setenv("KUBECONFIG", str(directory / "kubeconfig"))
        registry, store = CollectorRegistry(), Store()
        loops = Loops(SystemClock(), Metrics(registry))
        registry.register(WatchCollector((HERE, THERE), lambda place: loops.failures(watch_name(place))))
        async with client.ApiClient(client.Configuration(host=server.uri)) as requests, web.open_session() as session:
            watches = {
                place: Watch(place, KubernetesCluster(KubernetesApi(requests), session, (place,)), store)
                for place in (HERE, THERE)
            }
            tasks = [
                asyncio.create_task(loops.keep("watch", watch_name(name), watch.run)) for name, watch in watches.items()
            ]
            try:
                yield Watching(api, server.asked, store, loops, registry)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)


def write_kubeconfig(path: Path, uri: str) -> None:
    cluster = {"name": "fake", "cluster": {"server": uri}}
    context = {"name": "fake", "context": {"cluster": "fake", "user": "fake"}}
    user = {"name": "fake", "user": {"token": "none"}}
    parts = {"current-context": "fake", "clusters": [cluster], "contexts": [context], "users": [user]}
    path.write_text(json.dumps(parts))


def added(namespace: str, name: str) -> dict[str, object]:
    return {"type": "ADDED", "object": workqueue(namespace, name)}


async def test_a_namespace_that_is_refused_later_costs_no_other_its_watch_and_is_watched_again(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    api.events = {HERE: [added(HERE, "first")], THERE: [added(THERE, "first")]}
    async with watching(api, tmp_path, monkeypatch) as seen:
        await seen.until_known(Key(HERE, "first"), Key(THERE, "first"))
        assert (seen.watched(HERE), seen.watched(THERE)) == (1, 1)
        api.refused.add(THERE)
        await seen.until(lambda: seen.failures() >= 2, "its watch was refused, and refused again")
        api.events[HERE].append(added(HERE, "second"))
        known = (Key(HERE, "first"), Key(HERE, "second"))
        await seen.until_known(*known, Key(THERE, "first"))  # what is refused stays as it was
        assert (seen.watched(HERE), seen.watched(THERE)) == (1, 0)
        assert seen.loops.health().fine
        assert seen.loops.health().text.splitlines() == ["ok", "1 failed and run again: watch"]
        refused = [line for line in caplog.messages if line.startswith(f"watch of {THERE}: the loop failed")]
        assert any("no rights in there" in line and "watchNamespaces" in line for line in refused)
        api.events[THERE] = []  # deleted while there was no watch
        api.workqueues[THERE] = [workqueue(THERE, "second")]
        api.refused.clear()
        await seen.until_known(*known, Key(THERE, "second"))
        api.events[THERE].append(added(THERE, "third"))
        await seen.until_known(*known, Key(THERE, "second"), Key(THERE, "third"))


async def test_a_namespace_that_is_refused_from_the_start_is_not_given_to_kopf(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.refused.add(THERE)
    api.events[HERE] = [added(HERE, "first")]
    async with watching(api, tmp_path, monkeypatch) as seen:
        await seen.until_known(Key(HERE, "first"))
        await seen.until(seen.failures, "the refusal is counted")
        asked = [path for path in seen.asked if f"/namespaces/{THERE}/" in path]
        assert not any("watch=true" in path or "deployments" in path for path in asked)


async def test_deployments_come_from_the_same_watch(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.deployments[HERE] = [deployment(HERE, "jobs-worker")]
    async with watching(api, tmp_path, monkeypatch) as seen:
        await seen.until(lambda: seen.store.target(Key(HERE, "jobs-worker")), "the Deployment is known")


def test_a_task_that_takes_long_to_close_its_connections_is_not_cancelled_again() -> None:
    """As kopf's own: on a busy machine it has not ended when the watch is given up, and is waited for then."""
    closed: list[bool] = []

    async def connected(may_end: asyncio.Event) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await may_end.wait()
            closed.append(True)

    async def leave() -> None:
        may_end = asyncio.Event()
        task = asyncio.create_task(connected(may_end))
        await asyncio.sleep(0)
        leaving = Leaving()
        await leaving.wait(0)
        assert not task.done()
        may_end.set()
        await leaving.wait(60)

    asyncio.run(leave())
    assert closed == [True]
