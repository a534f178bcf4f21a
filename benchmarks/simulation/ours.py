"""This project's operator in the simulated world: its own passes, whole, on a simulated clock, cluster and broker.

The two ways to say what is wanted are two scalers here: messagesPerReplica alone, and drainSeconds with rates.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from prometheus_client import CollectorRegistry
from workqueue_operator.loops.management_loop import MEASURE_SECONDS
from workqueue_operator.loops.scheduler import Readers
from workqueue_operator.metrics import Metrics
from workqueue_operator.resource import ScalingPolicy
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.store import Store
from workqueue_operator.tracked import Tracked
from workqueue_operator.wiring import Operator as RealOperator

from benchmarks.simulation.cluster import DEPLOYMENT, SimulatedClock, SimulatedCluster
from benchmarks.simulation.management_api import ManagementApi
from benchmarks.simulation.world import WATCHING_FROM, World

#: What one question to the management API takes, seconds.
QUESTION_SECONDS = 0.02
WORKQUEUE = {
    "metadata": {"namespace": DEPLOYMENT.namespace, "name": "tasks", "uid": "tasks", "generation": 1},
    "spec": {"broker": {"secretName": "rabbitmq"}, "scaleTargetRef": {"name": DEPLOYMENT.name}},
}


class Operator:
    """Reads the world's queue, and makes a pass after each reading."""

    def __init__(self, world: World, policy: ScalingPolicy) -> None:
        self._world = world
        self._api = ManagementApi(world)
        self._clock = SimulatedClock(world, self._go_on)
        self._cluster = SimulatedCluster(world, self._clock)
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._wire(policy))
        world.every(policy.poll_period_seconds, self._pass, first=WATCHING_FROM)
        if policy.drain_seconds:
            world.every(MEASURE_SECONDS + QUESTION_SECONDS, self._measure, first=WATCHING_FROM + 3.3)
        world.at(world.trace.horizon, self._close)

    async def _wire(self, policy: ScalingPolicy) -> None:
        """As the image's process, without its loops: the world starts the passes."""
        self._store, readers = Store(), Readers(_no_broker, _no_broker)
        metrics = Metrics(CollectorRegistry())
        self._reconciler = RealOperator.of(self._store, self._cluster, readers, metrics, self._clock).reconciler
        self._store.see_workqueue(WORKQUEUE)
        (self._tracked,) = self._store
        assert self._tracked.workqueue
        self._tracked.spec = replace(self._tracked.workqueue, scaling=policy)

    def _measure(self) -> None:
        sample = self._api.sample()
        if sample:
            self._tracked.estimate = self._tracked.estimate.updated(sample)

    def _pass(self) -> None:
        """Start a pass, unless the one before it still goes on."""
        tracked = self._tracked
        if self._loop.is_closed() or (tracked.running and not tracked.running.done()):
            return
        self._store.see_target(self._cluster.target)
        tracked.running = self._loop.create_task(self._reconciler.reconcile(tracked, self._read(tracked)))
        self._go_on()

    def _read(self, tracked: Tracked) -> Counts:
        world, estimate = self._world, tracked.estimate
        last = estimate.last if estimate.is_fresh(world.now) else None
        return Counts(
            world.messages_ready,
            world.consumers,
            estimate.rates(world.now),
            messages_unacknowledged=last.messages_unacknowledged if last else None,
            has_leader=True,
            asked_at=world.now,
        )

    def _go_on(self) -> None:
        """Let all tasks go on until each of them waits for the world's time."""
        if not self._loop.is_closed():
            self._loop.run_until_complete(self._until_all_sleep())

    async def _until_all_sleep(self) -> None:
        while len(asyncio.all_tasks()) - 1 > self._clock.sleeping:  # noqa: ASYNC110 - what is awaited is no one event
            await asyncio.sleep(0)
        if self._tracked.running and self._tracked.running.done():
            self._tracked.running.result()

    def _close(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


def _no_broker(*_: object) -> NoReturn:
    raise AssertionError("the loops do not run: the world is the broker")


def with_messages_per_replica(policy: ScalingPolicy) -> Callable[[World], Operator]:
    """The operator that looks at messages_ready alone."""
    return lambda world: Operator(world, replace(policy, drain_seconds=None))


def with_drain_seconds(policy: ScalingPolicy, drain_seconds: int) -> Callable[[World], Operator]:
    """The operator that knows rates and has a time to drain."""
    return lambda world: Operator(world, replace(policy, drain_seconds=drain_seconds))
