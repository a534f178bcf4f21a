"""The operator's port to a cluster and its clock, over the simulated world: the real passes run on them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workqueue_operator.cluster.kubernetes_values import FIELD_MANAGER
from workqueue_operator.cluster.port import Listing, Notice, Pod, Target
from workqueue_operator.resource import Key

from benchmarks.simulation.world import Worker, World

DEPLOYMENT = Key("simulation", "workers")
#: Seconds from the last answer of a worker to its SIGTERM: the race that remains in a scale-down. An assumption.
RACE_SECONDS = 0.05
#: Longer than any task of the traces: no worker is killed.
GRACE_SECONDS = 24 * 3600


@dataclass
class SimulatedClock:
    """The world's time. A task that sleeps goes on at an event of the world."""

    world: World
    #: Called after a sleeper was woken, so that it goes on at once.
    go_on: Callable[[], None]
    #: How many tasks sleep.
    sleeping: int = 0

    def monotonic(self) -> float:
        """Seconds since the trace's first moment."""
        return self.world.now

    def wall(self) -> float:
        """Seconds since 1970, of no particular day."""
        return 1_700_000_000.0 + self.world.now

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds of the world."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleeping += 1
        self.world.at(self.world.now + seconds, lambda: self._wake(woken))
        await woken

    def _wake(self, woken: "asyncio.Future[None]") -> None:
        self.sleeping -= 1
        if not woken.done():
            woken.set_result(None)
        self.go_on()


class SimulatedCluster:
    """The Cluster port with one Deployment, whose pods are the world's workers. It refuses nothing."""

    def __init__(self, world: World, clock: SimulatedClock) -> None:
        self._world = world
        self._clock = clock
        self._costs: dict[str, int] = {}
        self._target = Target(
            DEPLOYMENT, "deployment", 0, 0, False, "app=worker", 0, sized_by=FIELD_MANAGER, grace_seconds=GRACE_SECONDS
        )

    @property
    def target(self) -> Target:
        """The Deployment now."""
        ready = sum(worker.started and not worker.leaving for worker in self._world.workers)
        if (self._target.replicas, self._target.ready) != (self._world.replicas, ready):
            version = self._target.resource_version + 1
            self._target = replace(self._target, replicas=self._world.replicas, ready=ready, resource_version=version)
        return self._target

    async def list_workqueues(self) -> Listing:
        """None: the one WorkQueue is put into the store."""
        return {"": []}

    async def read_secret(self, key: Key) -> Mapping[str, str]:
        """Nothing: no broker is connected with."""
        return {}

    async def read_target(self, key: Key) -> Target:
        """The Deployment."""
        return self.target

    async def read_pods(self, target: Target) -> Sequence[Pod]:
        """The workers as pods."""
        return [self._pod(worker) for worker in self._world.workers]

    async def find_autoscaler(self, target: Key) -> str | None:
        """None beside the operator."""
        return None

    async def set_deletion_cost(self, namespace: str, pod: str, cost: int | None) -> None:
        """Mark a worker, or take its mark away."""
        self._costs.pop(pod, None)
        if cost:
            self._costs[pod] = cost

    async def set_replicas(self, target: Target, replicas: int) -> Target:
        """Scale; a scale-down reaches its workers after the race."""
        if replicas < target.replicas:
            await self._clock.sleep(RACE_SECONDS)
        self._world.scale(replicas, [worker for worker in self._world.workers if worker.name in self._costs])
        return self.target

    async def write_status(self, key: Key, status: Mapping[str, Any]) -> None:
        """Nothing: the simulation reads the world."""

    async def post_event(self, key: Key, uid: str, notice: Notice) -> None:
        """Nothing: the simulation reads the world."""

    async def ask_tasks_in_progress(self, pod: Pod, port: int) -> int | None:
        """What the worker has at this moment."""
        tasks = (int(not worker.idle) for worker in self._world.workers if worker.name == pod.name)
        return next(tasks, None)

    def _pod(self, worker: Worker) -> Pod:
        return Pod(
            name=worker.name,
            uid=worker.name,
            ip="10.0.0.1",
            pending=not worker.started,
            running=worker.started,
            ready=worker.started and not worker.leaving,
            terminating=worker.leaving,
            finished=False,
            created=worker.created,
            deletion_cost=self._costs.get(worker.name, 0),
            restarts=0,
            namespace=DEPLOYMENT.namespace,
        )
