"""The operator's entry: wires the parts together once and runs them until told to stop.

workqueue-operator [run]                    scale all WorkQueues that are watched
workqueue-operator explain NAMESPACE/NAME   say why a WorkQueue has the workers it has
"""

import argparse
import asyncio
import logging
import os
import sys
from contextlib import suppress

import aiohttp
import kopf
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from workqueue_operator import explain, handlers, logs, web
from workqueue_operator.apply import Applier
from workqueue_operator.clock import SystemClock
from workqueue_operator.cluster import ClusterError, NotFound
from workqueue_operator.gather import Gatherer
from workqueue_operator.kubernetes_cluster import KubernetesCluster, load_client
from workqueue_operator.management import ManagementApi
from workqueue_operator.metrics import HeartbeatCollector, Metrics, WorkQueueCollector
from workqueue_operator.queue_reader import AmqpQueueReader
from workqueue_operator.reconcile import Reconciler
from workqueue_operator.report import Reporter
from workqueue_operator.resource import Key
from workqueue_operator.scheduler import Readers, Scheduler
from workqueue_operator.settings import InvalidSetting, Settings
from workqueue_operator.store import Store

log = logging.getLogger("workqueue_operator")


def main() -> None:
    """Run a subcommand; exit 0 when told to stop, 1 on a failure, 2 on wrong usage."""
    arguments = _parser().parse_args()
    try:
        settings = Settings.from_environment(os.environ)
    except InvalidSetting as error:
        sys.exit(f"workqueue-operator: {error}")
    logs.configure(settings.log_format)
    if arguments.command == "explain":
        sys.exit(asyncio.run(_explain(arguments.workqueue)))
    asyncio.run(_run(settings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="workqueue-operator", description="Scales the workers of RabbitMQ queues.")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("run", help="scale all WorkQueues that are watched (the default)")
    words = commands.add_parser("explain", help="say why a WorkQueue has the workers it has")
    words.add_argument("workqueue", metavar="NAMESPACE/NAME", type=_key)
    return parser


def _key(text: str) -> Key:
    namespace, _, name = text.partition("/")
    if not namespace or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAMESPACE/NAME")
    return Key(namespace, name)


async def _run(settings: Settings) -> None:
    """Start everything; ends when kopf is told to stop, fails when a loop does."""
    clock, store, registry = SystemClock(), Store(), CollectorRegistry()
    metrics = Metrics(registry)
    async with await load_client() as api_client, aiohttp.ClientSession() as session:
        cluster = KubernetesCluster(api_client, session, settings.namespaces)
        reconciler = Reconciler(
            Gatherer(store, cluster, clock),
            Applier(store, cluster, metrics, clock),
            Reporter(cluster, metrics, clock),
            metrics,
            clock,
        )
        name = os.environ.get("HOSTNAME", "workqueue-operator")
        readers = Readers(
            open_queues=lambda address: AmqpQueueReader(address, name),
            open_management=lambda address: ManagementApi(session, address),
        )
        scheduler = Scheduler(store, cluster, reconciler, readers, metrics, clock)
        for collector in (WorkQueueCollector(store, clock.monotonic), HeartbeatCollector(scheduler.ages)):
            registry.register(collector)
        for collect in (ProcessCollector, PlatformCollector, GCCollector):
            collect(registry=registry)
        server = await web.serve(settings.metrics_port, registry, scheduler.trouble)
        try:
            await _until_served(cluster)
            await _watch_and_schedule(settings, store, scheduler)
        finally:
            await server.cleanup()


async def _watch_and_schedule(settings: Settings, store: Store, scheduler: Scheduler) -> None:
    """Run kopf and our loops side by side; whichever ends first ends the other."""
    registry = kopf.OperatorRegistry()
    handlers.register(registry, store)
    watching = asyncio.create_task(
        kopf.operator(
            registry=registry,
            settings=handlers.settings(),
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
        ),
        name="kopf",
    )
    scheduling = asyncio.create_task(scheduler.run(), name="scheduler")
    await asyncio.wait((watching, scheduling), return_when=asyncio.FIRST_COMPLETED)
    for task in (watching, scheduling):
        task.cancel()
    for task in (scheduling, watching):
        with suppress(asyncio.CancelledError):
            await task


async def _until_served(cluster: KubernetesCluster) -> None:
    """Wait until the API server knows WorkQueues; kopf would look once and then never again."""
    while True:
        try:
            await cluster.list_workqueues()
        except NotFound:
            log.warning("the API server knows no WorkQueues yet: install the custom resource definition")
        except ClusterError as error:
            log.warning("cannot list WorkQueues: %s", error)
        else:
            return
        await asyncio.sleep(2.0)


async def _explain(key: Key) -> int:
    async with await load_client() as api_client, aiohttp.ClientSession() as session:
        try:
            body = await KubernetesCluster(api_client, session).read_workqueue(key)
        except ClusterError as error:
            print(f"workqueue-operator: cannot read WorkQueue {key}: {error}", file=sys.stderr)
            return 1
    print(explain.explain(body))
    return 0


if __name__ == "__main__":
    main()
