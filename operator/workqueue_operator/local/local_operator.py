"""The operator's loops on local processes: wired once, run until cancelled."""

from collections.abc import Callable
from pathlib import Path

from workqueue_operator import metrics, serving, web
from workqueue_operator.clock import SystemClock
from workqueue_operator.cluster.local.local_cluster import Hooks, LocalCluster
from workqueue_operator.local.board import Board
from workqueue_operator.local.preparation import Prepared
from workqueue_operator.loops.scheduler import Readers
from workqueue_operator.metrics import Metrics
from workqueue_operator.rabbitmq.management_api import ManagementApi
from workqueue_operator.rabbitmq.queue_reader import AmqpQueueReader
from workqueue_operator.store import Store
from workqueue_operator.wiring import Operator

NAME = "workqueue-operator local"


class LocalOperator:
    """An operator with a cluster of its own."""

    def __init__(self, prepared: Prepared, folder: Path, session: web.Session, hooks: Hooks) -> None:
        """`folder` gets the workers' output. `hooks.on_target` is ours."""
        self._store, self._prepared, self._clock = Store(), prepared, SystemClock()
        hooks.on_target = self._store.see_target
        self.cluster = LocalCluster(prepared.manifests, prepared.surroundings, folder, session, hooks)
        self.board = Board(self._store, self.cluster, self._clock)

    async def run(self, metrics_port: int, serves: Callable[[int], None]) -> None:
        """Until cancelled; the pods stay then. `serves` is called with the port of the metrics on 127.0.0.1."""
        counters, store = Metrics(metrics.new_registry()), self._store
        readers = Readers(lambda address: AmqpQueueReader(address, NAME), ManagementApi)
        operator = Operator.of(store, self.cluster, readers, counters, self._clock, namespaces=())
        server = serving.Server(counters.registry, operator.loops.health)
        await _listen(server, metrics_port)
        try:
            serves(server.port)
            for workload in self._prepared.workloads:
                self.cluster.deploy(workload)
            store.replace_workqueues(await self.cluster.list_workqueues(), store.keys())
            await operator.run()
        finally:
            await server.close()


async def _listen(server: serving.Server, port: int) -> None:
    """On the port, or on a free one when another program has it."""
    try:
        await server.listen(port, "127.0.0.1")
    except OSError:
        await server.listen(0, "127.0.0.1")
