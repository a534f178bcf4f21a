"""The border between loops, and what the probes are answered: a loop that fails or stands still costs itself alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from workqueue_operator.cluster.port import Listing
from workqueue_operator.loops.border import STUCK_SECONDS
from workqueue_operator.loops.scheduler import Readers, Scheduler
from workqueue_operator.metrics import Metrics
from workqueue_operator.rabbitmq.management_api import ManagementApi
from workqueue_operator.rabbitmq.queue_reader import QueueReader, ReadResult
from workqueue_operator.resource import Key, QueueSpec
from workqueue_operator.serving import Server
from workqueue_operator.store import Store
from workqueue_operator.wiring import Operator

from tests.support.fakes import FakeCluster, FakeQueueReader
from tests.support.operating import JumpingClock

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

    reads = 0

    async def read(self, queues: Sequence[QueueSpec]) -> Sequence[ReadResult]:
        self.reads += 1
        await asyncio.Event().wait()
        return []


class FailingReader(FakeQueueReader):
    """A reader that has a bug, until it is fixed."""

    fixed = False

    async def read(self, queues: Sequence[QueueSpec]) -> Sequence[ReadResult]:
        if not self.fixed:
            raise ZeroDivisionError("a\nbug")
        return await super().read(queues)


@dataclass
class Running:
    """A scheduler that runs, with a hand on its clock."""

    scheduler: Scheduler
    cluster: FakeCluster
    registry: CollectorRegistry
    clock: JumpingClock
    task: "asyncio.Task[None]"

    async def until(self, fact: Callable[[], object], what: str) -> None:
        deadline = asyncio.get_running_loop().time() + 20
        while not fact():
            assert asyncio.get_running_loop().time() < deadline, f"not seen: {what}"
            await asyncio.sleep(0.02)

    def failures(self, loop: str) -> float:
        return self.registry.get_sample_value("workqueue_operator_loop_failures_total", {"loop": loop}) or 0

    def condition(self, name: str) -> dict[str, Any]:
        conditions = self.cluster.workqueues[Key("team", "jobs")].get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == name), {})


@asynccontextmanager
async def running(cluster: FakeCluster, reader: QueueReader) -> AsyncIterator[Running]:
    store, clock, registry = Store(), JumpingClock(), CollectorRegistry()
    metrics = Metrics(registry)
    body = {
        "metadata": {"namespace": "team", "name": "jobs", "uid": "1", "generation": 1},
        "spec": {"broker": {"secretName": SECRET.name}, "scaleTargetRef": {"name": "jobs-worker"}},
    }
    cluster.secrets[SECRET] = {"host": "broker"}
    cluster.workqueues[Key("team", "jobs")] = body
    store.see_workqueue(body)
    store.see_target(cluster.add_deployment(Key("team", "jobs-worker"), 0))
    operator = Operator.of(store, cluster, Readers(lambda _: reader, ManagementApi), metrics, clock)
    task = asyncio.create_task(operator.run())
    try:
        yield Running(operator.scheduler, cluster, registry, clock, task)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def ask(path: str, operator: Running) -> tuple[int, str]:
    """What the operator's own port answers."""
    server = Server(operator.registry, operator.scheduler.loops.health)
    await server.listen(0, "127.0.0.1")
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{server.port}{path}") as answer:
            return answer.status, await answer.text()
    finally:
        await server.close()


async def test_an_api_server_that_does_not_answer_is_no_standstill_of_ours() -> None:
    """Many Secrets, or many namespaces, at up to ten seconds each take longer than the probe's patience."""
    cluster = SlowCluster()
    async with running(cluster, FakeQueueReader()) as operator:
        await operator.until(lambda: cluster.asked == {"list", "secret"}, "both loops wait for the API server")
        operator.clock.ahead += STUCK_SECONDS + 1
        await operator.until(lambda: operator.scheduler.loops.health().fine, "the loops beat while they wait")
        cluster.answers.set()
        name = "broker amqp://guest@broker:5672/%2F"
        await operator.until(lambda: name in operator.scheduler.loops.ages(), "they go on")


async def test_a_brokers_loop_that_stands_still_runs_again_and_the_process_stays() -> None:
    reader = StandingReader()
    async with running(FakeCluster(), reader) as operator:
        await operator.until(lambda: reader.reads == 1, "the broker's loop waits for a reading")
        operator.clock.ahead += STUCK_SECONDS + 1
        await operator.until(lambda: reader.reads == 2, "it was run again")
        assert reader.closed
        assert operator.failures("broker") == 1
        status, text = await ask("/healthz", operator)
        assert (status, text.splitlines()) == (200, ["ok", "1 failed and run again: broker"])


async def test_one_of_the_operators_own_loops_that_stands_still_fails_the_probe() -> None:
    async with running(FakeCluster(), FakeQueueReader()) as operator:
        await operator.until(lambda: "unread" in operator.scheduler.loops.ages(), "the loops run")
        assert await ask("/healthz", operator) == (200, "ok\n")
        operator.clock.ahead += STUCK_SECONDS + 1
        health = operator.scheduler.loops.health()  # before any of them has had a turn
        assert not health.fine
        assert "unread" in health.text


async def test_a_brokers_loop_that_fails_is_counted_reported_and_run_again(caplog: pytest.LogCaptureFixture) -> None:
    reader = FailingReader()
    async with running(FakeCluster(), reader) as operator:
        await operator.until(lambda: operator.failures("broker") > 1, "it was run again")
        assert not operator.task.done()
        await operator.until(lambda: operator.condition("QueueObserved"), "it is reported")
        condition = operator.condition("QueueObserved")
        assert (condition["status"], condition["reason"]) == ("False", "Unavailable")
        assert "ZeroDivisionError" in condition["message"]
        assert "bug" not in condition["message"]  # its words may be anybody's
        assert any("ZeroDivisionError: a bug in read (" in line for line in caplog.messages)
        reader.fixed = True
        operator.clock.ahead += 10.0
        await operator.until(lambda: operator.condition("QueueObserved").get("status") == "True", "it reads again")


async def test_one_of_the_operators_own_loops_that_fails_runs_again() -> None:
    class OddCluster(FakeCluster):
        """An API server that answers what no adapter of ours has foreseen."""

        lists = 0

        async def list_workqueues(self) -> Listing:
            self.lists += 1
            if self.lists == 1:
                raise RecursionError("deep JSON")
            return await super().list_workqueues()

    cluster = OddCluster()
    async with running(cluster, FakeQueueReader()) as operator:
        await operator.until(lambda: cluster.lists > 1, "it lists again")
        assert operator.failures("resync") == 1
        assert not operator.task.done()


async def test_a_secret_that_fails_in_a_way_that_is_not_foreseen_is_reported_without_its_words() -> None:
    class OddCluster(FakeCluster):
        async def read_secret(self, key: Key) -> Mapping[str, str]:
            raise LookupError("unknown encoding: hunter2")

    async with running(OddCluster(), FakeQueueReader()) as operator:
        await operator.until(lambda: operator.failures("secret"), "it was read")
        operator.clock.ahead += 2.0
        await operator.until(lambda: operator.condition("QueueObserved").get("status") == "False", "it is reported")
        message = operator.condition("QueueObserved")["message"]
        assert "LookupError" in message
        assert "hunter2" not in message


async def test_a_pass_that_fails_in_a_way_that_is_not_foreseen_ends_no_loop() -> None:
    class OddCluster(FakeCluster):
        async def write_status(self, key: Key, status: Mapping[str, Any]) -> None:
            raise RecursionError("deep JSON")

    async with running(OddCluster(), FakeQueueReader()) as operator:
        await operator.until(lambda: operator.failures("pass") >= 1, "it is counted")
        assert operator.failures("broker") == 0
        assert not operator.task.done()
