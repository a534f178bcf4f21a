"""Puts the operator together once, and runs it until it is told to stop. Called by the command line."""

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress

import kopf

from workqueue_operator import explain as explaining
from workqueue_operator import handlers, metrics, serving, web
from workqueue_operator.apply import Applier
from workqueue_operator.clock import SystemClock
from workqueue_operator.cluster import Cluster, ClusterError, NotFound
from workqueue_operator.gather import Gatherer
from workqueue_operator.kubernetes_api import KubernetesApi, load_client
from workqueue_operator.kubernetes_cluster import KubernetesCluster
from workqueue_operator.management import ManagementApi
from workqueue_operator.metrics import HeartbeatCollector, Metrics, WorkQueueCollector
from workqueue_operator.queue_reader import AmqpQueueReader
from workqueue_operator.reconcile import Reconciler
from workqueue_operator.report import Reporter
from workqueue_operator.resource import Key
from workqueue_operator.scheduler import Readers, Scheduler
from workqueue_operator.settings import Settings
from workqueue_operator.store import Store

log = logging.getLogger("workqueue_operator")


def run(settings: Settings) -> None:
    """Scale until a signal comes; fails when a loop does."""
    asyncio.run(_run(settings))


def explain(key: Key, settings: Settings) -> int:
    """Print why the WorkQueue has the workers it has; the exit code."""
    if unserved := explaining.unserved(key.namespace, settings.namespaces):
        print(f"workqueue-operator: cannot read WorkQueue {key}: {unserved}", file=sys.stderr)
        return 1
    return asyncio.run(_explain(key))


async def _run(settings: Settings) -> None:
    """Start everything; ends when kopf is told to stop, fails when a loop does."""
    _leave_at_a_signal()
    clock, store, registry = SystemClock(), Store(), metrics.new_registry()
    counters = Metrics(registry)
    async with await load_client() as api_client, web.open_session() as session:
        cluster = KubernetesCluster(KubernetesApi(api_client), session, settings.namespaces)
        reconciler = Reconciler(
            Gatherer(store, cluster, clock),
            Applier(store, cluster, counters, clock),
            Reporter(cluster, counters, clock),
            counters,
            clock,
        )
        name = os.environ.get("HOSTNAME", "workqueue-operator")
        readers = Readers(
            open_queues=lambda address: AmqpQueueReader(address, name),
            open_management=ManagementApi,
        )
        scheduler = Scheduler(store, cluster, reconciler, readers, counters, clock)
        for collector in (WorkQueueCollector(store, clock.monotonic), HeartbeatCollector(scheduler.loops.ages)):
            registry.register(collector)
        server = serving.Server(registry, scheduler.loops.health)
        await server.listen(settings.metrics_port)
        try:
            await fill(store, cluster)
            await _watch_and_schedule(settings, store, scheduler)
        finally:
            await server.close()


def _leave_at_a_signal() -> None:
    """At once and in order, with exit code 0, until kopf puts its own handlers in the place of these."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, sys.exit, 0)


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


async def fill(store: Store, cluster: Cluster) -> None:
    """Put all WorkQueues into the store before anything is decided: the watch tells them one by one, in any order.

    Waits until one namespace could be listed; those that could not are listed again with each resync. Where the API
    server knows no WorkQueues yet, kopf would look once and then never again.
    """
    while True:
        listing = await cluster.list_workqueues()
        store.replace_workqueues(listing, store.keys())
        errors = {place: found for place, found in listing.items() if isinstance(found, ClusterError)}
        for place, error in errors.items():
            log.warning("cannot list the WorkQueues of %s: %s", place or "the cluster", _with_remedy(error))
        if len(errors) < len(listing):
            return
        await asyncio.sleep(2.0)


def _with_remedy(error: ClusterError) -> str:
    return f"{error}; install the custom resource definition" if isinstance(error, NotFound) else str(error)


async def _explain(key: Key) -> int:
    async with await load_client() as api_client, web.open_session() as session:
        try:
            body = await KubernetesCluster(KubernetesApi(api_client), session).read_workqueue(key)
        except ClusterError as error:
            print(f"workqueue-operator: cannot read WorkQueue {key}: {error}", file=sys.stderr)
            return 1
    print(explaining.explain(body))
    return 0
