"""Watches a Deployment after its scale-downs and counts the workers that left: one watch for each Deployment.

Called by the applier. A watch changes nothing, and what it cannot see it does not count.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.port import Cluster, ClusterError, Target
from workqueue_operator.passes.asking import ask
from workqueue_operator.resource import Key
from workqueue_operator.scaling.deletion_order import WorkerAnswer
from workqueue_operator.scaling.victims import State, Tally, Victim
from workqueue_operator.store import Store
from workqueue_operator.totals import Totals

#: Seconds to watch after the last scale, and between two looks: soon at first, as an idle worker is gone in a moment.
WATCH_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 1.0

log = logging.getLogger(__name__)


class VictimWatch:
    """Looks at one Deployment's pods until no more are left than were asked for."""

    def __init__(self, cluster: Cluster, clock: Clock, count: Callable[[Victim], None]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._count = count
        self._tally = Tally()
        self._deadline = float("-inf")
        self._scales = 0
        self._running: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """No worker is awaited any longer."""
        return self._running is None or self._running.done()

    def note_scale_down(self, target: Target, port: int, asked: Sequence[WorkerAnswer], meant: Collection[str]) -> None:
        """Take in a scale-down to the size of `target`; `asked` is the last look before it."""
        self._note(target.replicas, asked, meant)
        if self.is_over:
            self._running = asyncio.create_task(self._watch(target, port))

    def note_scale_up(self, replicas: int) -> None:
        """Take in a scale-up; the pods that an earlier scale-down takes are looked at once more."""
        if not self.is_over:
            self._note(replicas, (), ())

    def stop(self) -> None:
        """End the watch: the Deployment is gone, and its pods go with it."""
        if self._running:
            self._running.cancel()

    async def wait(self) -> None:
        """Wait until it is over."""
        if self._running:
            await asyncio.wait([self._running])
            if not self._running.cancelled():
                self._running.result()

    def _note(self, replicas: int, asked: Sequence[WorkerAnswer], meant: Collection[str]) -> None:
        self._tally = self._tally.scaled(replicas, asked, meant)
        self._scales += 1
        self._deadline = self._clock.monotonic() + WATCH_SECONDS

    async def _watch(self, target: Target, port: int) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not (await self._look(target, port) and self._tally.is_done) and self._clock.monotonic() < self._deadline:
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        for victim in self._tally.closed():
            self._count(victim)
        if self._tally.awaited:
            text = "%s: %d pods are still there %.0f s after the scale-down: they are not counted in scale_down_victims"
            log.warning(text, target.key, self._tally.awaited, WATCH_SECONDS)
        self._tally = Tally(counted=self._tally.counted)

    async def _look(self, target: Target, port: int) -> bool:
        """Count the workers that left; False when nothing could be seen, so that another look is needed."""
        scales = self._scales
        try:
            pods = await self._cluster.read_pods(target)
        except ClusterError as error:
            log.warning("%s: cannot see which workers left: %s", target.key, error)
            return False
        asked = await ask(self._cluster, self._tally.to_ask(pods), port)
        if scales != self._scales:  # scaled since: this look is older than the one that the tally begins with
            return False
        self._tally, victims = self._tally.after(pods, {one.pod.uid: one.tasks_in_progress for one in asked})
        for victim in victims:
            self._count(victim)
        return True


@dataclass(frozen=True)
class _Watched:
    """A watch, with the WorkQueue and the Deployment that it is over."""

    totals: Totals
    target_uid: str
    watch: VictimWatch


class VictimWatches:
    """The watches by WorkQueue. `totals` names the WorkQueue's life: one that is made again has others."""

    def __init__(self, store: Store, cluster: Cluster, clock: Clock) -> None:
        self._store = store
        self._cluster = cluster
        self._clock = clock
        self._watches: dict[Key, _Watched] = {}

    def of(self, key: Key, totals: Totals, target: Target) -> VictimWatch:
        """The watch of this WorkQueue over this very Deployment, made where there is none."""
        watch = self._known(key, totals, target)
        if watch is None:
            watch = VictimWatch(self._cluster, self._clock, partial(_count, key, totals))
            known = self._store.keys()
            self._watches = {name: watched for name, watched in self._watches.items() if name in known}
            self._watches[key] = _Watched(totals, target.uid, watch)
        return watch

    def note_scale_up(self, key: Key, totals: Totals, target: Target) -> None:
        """Take in a scale-up to the size of `target`, where a scale-down before it is still watched."""
        if watch := self._known(key, totals, target):
            watch.note_scale_up(target.replicas)

    def is_watching(self, key: Key, totals: Totals, target: Target) -> bool:
        """Whether pods of an earlier scale-down are still awaited."""
        watch = self._known(key, totals, target)
        return watch is not None and not watch.is_over

    async def wait(self) -> None:
        """Wait until all watches are over."""
        await asyncio.gather(*(watched.watch.wait() for watched in self._watches.values()))

    def _known(self, key: Key, totals: Totals, target: Target) -> VictimWatch | None:
        """The watch over this very Deployment; one over a former Deployment or WorkQueue ends."""
        watched = self._watches.get(key)
        if watched is None or (watched.totals is totals and watched.target_uid == target.uid):
            return watched.watch if watched else None
        watched.watch.stop()
        del self._watches[key]
        return None


def _count(workqueue: Key, totals: Totals, victim: Victim) -> None:
    totals.victims[victim.state] += 1
    if not victim.meant:
        text = "%s: the ReplicaSet deleted %s (%s) instead of a pod that was marked"
        log.warning(text, workqueue, victim.name, victim.state)
    elif victim.state is State.BUSY:
        text = "%s: %s got a task while it was being scaled down; it finishes that task first"
        log.warning(text, workqueue, victim.name)
