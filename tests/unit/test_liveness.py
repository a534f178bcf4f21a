"""What the liveness probe is told: a loop that stands still, and never that the API server is slow."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from fakes import FakeCluster, FakeQueueReader, ManualClock
from prometheus_client import CollectorRegistry
from workqueue_broker.address import BrokerAddress
from workqueue_operator import web
from workqueue_operator.apply import Applier
from workqueue_operator.cluster import Listing
from workqueue_operator.gather import Gatherer
from workqueue_operator.management import ManagementApi
from workqueue_operator.metrics import Metrics
from workqueue_operator.queue_reader import Answer, QueueReader
from workqueue_operator.reconcile import Reconciler
from workqueue_operator.report import Reporter
from workqueue_operator.resource import Key, QueueSpec
from workqueue_operator.scheduler import STUCK_SECONDS, Readers, Scheduler
from workqueue_operator.store import Store

SECRET = Key("team", "rabbitmq")


@dataclass
class SlowCluster(FakeCluster):
    """An API server that answers nothing until `answers` is set."""

    answers: asyncio.Event = field(default_factory=asyncio.Event)
    asked: set[str] = field(default_factory=set)

    async def list_workqueues(self) -> Listing:
        self.asked.add("list")
        await self.answers.wait()
        return await super().list_workqueues()

    async def read_secret(self, key: Key) -> Mapping[str, str]:
        self.asked.add("secret")
        await self.answers.wait()
        return await super().read_secret(key)


class StandingReader(FakeQueueReader):
    """A reader that has lost its time limits: it never comes back."""

    reading = False

    async def read(self, queues: Sequence[QueueSpec]) -> Sequence[Answer]:
        self.reading = True
        await asyncio.Event().wait()
        return []


@dataclass
class Running:
    """A scheduler that runs, with a hand on its clock."""

    scheduler: Scheduler
    clock: ManualClock
    task: "asyncio.Task[None]"

    async def until(self, fact: Callable[[], object], what: str) -> None:
        deadline = asyncio.get_running_loop().time() + 20
        while not fact():
            assert asyncio.get_running_loop().time() < deadline, f"not seen: {what}"
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(cluster: FakeCluster, reader: QueueReader) -> AsyncIterator[Running]:
    store, clock, metrics = Store(), ManualClock(), Metrics(CollectorRegistry())
    body = {
        "metadata": {"namespace": "team", "name": "jobs", "uid": "1", "generation": 1},
        "spec": {"broker": {"secretName": SECRET.name}, "scaleTargetRef": {"name": "jobs-worker"}},
    }
    cluster.secrets[SECRET] = {"host": "broker"}
    cluster.workqueues[Key("team", "jobs")] = body
    store.see_workqueue(body)
    reconciler = Reconciler(
        Gatherer(store, cluster, clock),
        Applier(store, cluster, metrics, clock),
        Reporter(cluster, metrics, clock),
        metrics,
        clock,
    )
    async with aiohttp.ClientSession() as session:

        def open_management(address: BrokerAddress) -> ManagementApi:
            return ManagementApi(session, address)

        readers = Readers(lambda _: reader, open_management)
        scheduler = Scheduler(store, cluster, reconciler, readers, metrics, clock)
        task = asyncio.create_task(scheduler.run())
        try:
            yield Running(scheduler, clock, task)
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_an_api_server_that_does_not_answer_is_no_standstill_of_ours() -> None:
    """Many Secrets, or many namespaces, at up to ten seconds each take longer than the probe's patience."""
    cluster = SlowCluster()
    async with running(cluster, FakeQueueReader()) as operator:
        await operator.until(lambda: cluster.asked == {"list", "secret"}, "both loops wait for the API server")
        operator.clock.advance(STUCK_SECONDS + 1)
        await operator.until(lambda: operator.scheduler.trouble() is None, "the loops beat while they wait")
        cluster.answers.set()
        await operator.until(lambda: "broker amqp://guest@broker:5672/%2F" in operator.scheduler.ages(), "they go on")


async def test_a_loop_that_stands_still_is_told_by_its_name_with_503() -> None:
    reader = StandingReader()
    async with running(FakeCluster(), reader) as operator, aiohttp.ClientSession() as session:
        server = await web.serve(0, CollectorRegistry(), operator.scheduler.trouble)
        port = next(address[1] for address in server.addresses if address[0] == "0.0.0.0")
        probe = f"http://127.0.0.1:{port}/healthz"
        await operator.until(lambda: reader.reading, "the broker's loop waits for a reading")
        async with session.get(probe) as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
        operator.clock.advance(STUCK_SECONDS + 1)
        await operator.until(lambda: operator.scheduler.ages()["assign"] < STUCK_SECONDS, "the other loops go on")
        async with session.get(probe) as answer:
            assert answer.status == 503
            assert "broker amqp://guest@broker:5672/%2F" in await answer.text()
        await server.cleanup()


async def test_a_loop_that_fails_ends_the_others_with_its_error() -> None:
    class FailingReader(FakeQueueReader):
        async def read(self, queues: Sequence[QueueSpec]) -> Sequence[Answer]:
            raise ZeroDivisionError("a bug")

    async with running(FakeCluster(), FailingReader()) as operator:
        await asyncio.wait([operator.task], timeout=20)
        with pytest.raises(BaseExceptionGroup) as caught:
            operator.task.result()
        assert caught.group_contains(ZeroDivisionError)
