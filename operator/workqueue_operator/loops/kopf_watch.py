"""kopf's watch of one namespace, in a thread with an event loop of its own.

kopf cancels every task of its event loop when it ends, and it ends when one of its watches is refused. So it shares
neither our event loop nor, between namespaces, itself: a namespace that is gone or refused costs its own watch alone.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

import kopf

from workqueue_operator.cluster.port import Cluster, ClusterError, Forbidden, NotFound
from workqueue_operator.loops import kopf_handlers
from workqueue_operator.loops.border import LEAVE_SECONDS, described
from workqueue_operator.loops.heartbeat import BEAT_SECONDS, Heartbeat
from workqueue_operator.store import Store

#: Seconds after which the event loop of a kopf that ended is closed, even if tasks of it still run.
CLOSE_SECONDS = 60.0
#: What a person can do about a namespace that cannot be listed.
REMEDIES = {
    NotFound: "; install the custom resource definition",
    Forbidden: "; give the operator its Role there (the chart brings it), or take the namespace out of watchNamespaces",
}


class WatchEnded(Exception):
    """kopf ended, and no request of its watch is known to have failed."""


class Watch:
    """Brings what changes in a namespace ("" for the whole cluster) into the store."""

    def __init__(self, namespace: str, cluster: Cluster, store: Store) -> None:
        self._namespace = namespace
        self._cluster = cluster
        self._store = store

    async def run(self, heart: Heartbeat) -> None:
        """Until cancelled. Raises a ClusterError when the namespace cannot be listed, else whatever ended kopf.

        The list comes first: it finds WorkQueues that were deleted while there was no watch, and its refusal is a
        reason in plain words. Where the API server knows no WorkQueues yet, kopf would look once and then never again.
        """
        before = self._store.keys()
        listing = await heart.during(self._cluster.list_workqueues())
        found = listing[self._namespace]
        if isinstance(found, ClusterError):
            raise type(found)(with_remedy(found))
        self._store.replace_workqueues({self._namespace: found}, before)
        await _Kopf(self._namespace, self._store, heart).run()


class _Kopf:
    """One run of kopf. It ends with the first of its tasks that ends, or soon after it is stopped."""

    def __init__(self, namespace: str, store: Store, heart: Heartbeat) -> None:
        self._namespace = namespace
        self._store = store
        self._heart = heart
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        #: What kopf left behind has ended too, or was given up.
        self._left = asyncio.Event()
        self._error: BaseException | None = None
        #: Written in our loop, and read in kopf's too.
        self._stopping = False

    async def run(self) -> None:
        """Until cancelled, and then until the thread has ended; the caller bounds that."""
        # A daemon: a thread that does not end does not keep the process.
        threading.Thread(target=self._work, name=f"kopf {self._namespace}", daemon=True).start()
        try:
            await self._ended.wait()
        except asyncio.CancelledError:
            self._stopping = True
            await self._left.wait()  # else the process may end in the middle of kopf's leaving, with its tracebacks
            raise
        self._stopping = True
        if isinstance(self._error, Exception):
            raise self._error
        raise WatchEnded(described(self._error) if self._error else "kopf ended without an error")

    def _work(self) -> None:
        """In kopf's thread. The end is reported first: kopf's tasks may take long to leave, or not leave at all."""
        loop = asyncio.new_event_loop()
        # What ended kopf is reported by the border; asyncio would log the errors of kopf's other tasks with tracebacks.
        loop.set_exception_handler(lambda *_: None)
        error: BaseException | None = None
        try:
            loop.run_until_complete(self._operate())
        except BaseException as problem:  # noqa: BLE001 - the border: kopf ends on whatever it did not foresee
            error = problem
        with suppress(RuntimeError):  # our loop is closed: the process ends
            self._loop.call_soon_threadsafe(self._end, error)
        left = Leaving()
        with suppress(Exception):
            loop.run_until_complete(left.wait(LEAVE_SECONDS - 2 * BEAT_SECONDS))  # within the border's bound of it all
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._left.set)
        with suppress(Exception):
            loop.run_until_complete(left.wait(CLOSE_SECONDS))
        loop.close()

    async def _operate(self) -> None:
        registry = kopf.OperatorRegistry()
        kopf_handlers.register(registry, self._store, self._hand_over)
        tasks = await kopf.spawn_tasks(
            registry=registry,
            settings=kopf_handlers.settings(),
            standalone=True,
            clusterwide=not self._namespace,
            namespaces=(self._namespace,) if self._namespace else (),
        )
        beating = asyncio.create_task(self._keep_beating())
        done, _ = await asyncio.wait({*tasks, beating}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _keep_beating(self) -> None:
        """A beat for as long as kopf's event loop turns; ends when the watch is stopped."""
        while not self._stopping:
            self._loop.call_soon_threadsafe(self._heart.beat)
            await asyncio.sleep(BEAT_SECONDS)

    def _hand_over(self, put: Callable[[], None]) -> None:
        """In kopf's thread: change the store in our loop, in the order of the events."""
        self._loop.call_soon_threadsafe(self._take, put)

    def _take(self, put: Callable[[], None]) -> None:
        if not self._stopping:  # else another watch may know better by now
            put()

    def _end(self, error: BaseException | None) -> None:
        self._error = error
        self._ended.set()


def with_remedy(error: ClusterError) -> str:
    """Why a namespace cannot be listed, and what to do about it."""
    return f"{error}{REMEDIES.get(type(error), '')}"


class Leaving:
    """The end of all tasks of an event loop. Each is cancelled once: a second cancel of the task in which kopf closes
    its connections would keep it from doing so."""

    def __init__(self) -> None:
        self._cancelled: set[asyncio.Task[object]] = set()

    async def wait(self, seconds: float) -> None:
        """Cancel the tasks that were not cancelled yet, and wait for all of them, for so long at most."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks - self._cancelled:
            task.cancel()
        self._cancelled |= tasks
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
