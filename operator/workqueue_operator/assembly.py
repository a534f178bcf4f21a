"""Puts the operator together once, and runs it until a signal stops it. Called by the command line."""

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress

from workqueue_operator import metrics, serving, web
from workqueue_operator.clock import Clock, SystemClock
from workqueue_operator.cluster.kubernetes_api import KubernetesApi, load_client
from workqueue_operator.cluster.kubernetes_cluster import KubernetesCluster
from workqueue_operator.cluster.port import Cluster, ClusterError
from workqueue_operator.loops.border import watch_name
from workqueue_operator.loops.kopf_watch import Watch, with_remedy
from workqueue_operator.loops.scheduler import Readers
from workqueue_operator.metrics import Metrics
from workqueue_operator.rabbitmq.management_api import ManagementApi
from workqueue_operator.rabbitmq.queue_reader import AmqpQueueReader
from workqueue_operator.resource import Key
from workqueue_operator.settings import Settings
from workqueue_operator.status import explain as explaining
from workqueue_operator.store import Store
from workqueue_operator.wiring import Operator

#: Seconds between two lists of the WorkQueues while no namespace can be listed.
FILL_SECONDS = 2.0

log = logging.getLogger("workqueue_operator")


def run(settings: Settings) -> None:
    """Scale until a signal comes."""
    asyncio.run(_until_a_signal(settings))


def explain(key: Key, settings: Settings) -> int:
    """Print why the WorkQueue has the workers it has; the exit code."""
    if unserved := explaining.unserved(key.namespace, settings.namespaces):
        print(f"workqueue-operator: cannot read WorkQueue {key}: {unserved}", file=sys.stderr)
        return 1
    return asyncio.run(_explain(key))


async def _until_a_signal(settings: Settings) -> None:
    """A signal cancels everything, in order. kopf sets no handlers of its own outside of the main thread."""
    running = asyncio.create_task(_run(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with suppress(asyncio.CancelledError):
        await running


async def _run(settings: Settings) -> None:
    """Start everything, and keep it running until cancelled."""
    store, counters, clock = Store(), Metrics(metrics.new_registry()), SystemClock()
    async with await load_client() as api_client, web.open_session() as session:
        api = KubernetesApi(api_client)
        cluster = KubernetesCluster(api, session, settings.namespaces)
        connection_name = os.environ.get("HOSTNAME", "workqueue-operator")
        readers = Readers(
            open_queues=lambda address: AmqpQueueReader(address, connection_name),
            open_management=ManagementApi,
        )
        places = settings.namespaces or ("",)
        operator = Operator.of(store, cluster, readers, counters, clock, places)
        server = serving.Server(counters.registry, operator.loops.health)
        await server.listen(settings.metrics_port)
        try:
            await fill(store, cluster, clock)
            async with asyncio.TaskGroup() as group:
                group.create_task(operator.run(), name="operator")
                for place in places:
                    watch = Watch(place, KubernetesCluster(api, session, (place,) if place else ()), store)
                    name = watch_name(place)
                    group.create_task(operator.loops.keep("watch", name, watch.run), name=name)
        finally:
            await server.close()


async def fill(store: Store, cluster: Cluster, clock: Clock) -> None:
    """Put all WorkQueues into the store before anything is decided: the watch brings them one by one, in any order.

    Waits until one namespace could be listed; the others are listed again with each resync. Where the API
    server knows no WorkQueues yet, kopf would look once and then never again.
    """
    while True:
        listing = await cluster.list_workqueues()
        store.replace_workqueues(listing, store.keys())
        errors = {place: found for place, found in listing.items() if isinstance(found, ClusterError)}
        for place, error in errors.items():
            log.warning("cannot list the WorkQueues of %s: %s", place or "the cluster", with_remedy(error))
        if len(errors) < len(listing):
            return
        await clock.sleep(FILL_SECONDS)


async def _explain(key: Key) -> int:
    async with await load_client() as api_client, web.open_session() as session:
        try:
            body = await KubernetesCluster(KubernetesApi(api_client), session).read_workqueue(key)
        except ClusterError as error:
            print(f"workqueue-operator: cannot read WorkQueue {key}: {error}", file=sys.stderr)
            return 1
    print(explaining.explain(body))
    return 0
