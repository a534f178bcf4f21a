"""Watches a Deployment after its scales and tells who went: one watch each, which every later scale goes on with.

Called by the applier. It changes nothing, and what it cannot see it does not count.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.port import Cluster, ClusterError, Target
from workqueue_operator.passes.asking import ask
from workqueue_operator.scaling.deletion_order import WorkerAnswer
from workqueue_operator.scaling.victims import Tally, Victim

#: Seconds to watch after the last scale, and between two looks: soon at first, as an idle worker is gone in a moment.
WATCH_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 1.0

log = logging.getLogger(__name__)


class VictimWatch:
    """Looks at one Deployment's pods until those too many have gone."""

    def __init__(self, cluster: Cluster, clock: Clock, tell: Callable[[Victim], None]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._tell = tell
        self._tally = Tally()
        self._deadline = float("-inf")
        self._scales = 0
        self._running: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """Nobody is awaited any longer."""
        return self._running is None or self._running.done()

    def shrunk(self, target: Target, port: int, asked: Sequence[WorkerAnswer], meant: Collection[str]) -> None:
        """The Deployment was scaled down to what `target` has; `asked` is the last look before that."""
        self._scaled(target.replicas, asked, meant)
        if self.is_over:
            self._running = asyncio.create_task(self._watch(target, port))

    def grown(self, replicas: int) -> None:
        """The Deployment was scaled up; those told to go before that are looked at once more."""
        if not self.is_over:
            self._scaled(replicas, (), ())

    def stop(self) -> None:
        """The Deployment is gone; its pods go with it."""
        if self._running:
            self._running.cancel()

    async def wait(self) -> None:
        """Until it is over."""
        if self._running:
            await asyncio.wait([self._running])
            if not self._running.cancelled():
                self._running.result()

    def _scaled(self, replicas: int, asked: Sequence[WorkerAnswer], meant: Collection[str]) -> None:
        self._tally = self._tally.scaled(replicas, asked, meant)
        self._scales += 1
        self._deadline = self._clock.monotonic() + WATCH_SECONDS

    async def _watch(self, target: Target, port: int) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not (await self._look(target, port) and self._tally.is_done) and self._clock.monotonic() < self._deadline:
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        for victim in self._tally.closed():
            self._tell(victim)
        if self._tally.awaited:
            log.warning("%s: %d workers too many did not go in time to be counted", target.key, self._tally.awaited)
        self._tally = Tally(counted=self._tally.counted)

    async def _look(self, target: Target, port: int) -> bool:
        """Count who went; False when nothing could be seen, so that another look is needed before it is over."""
        scales = self._scales
        try:
            pods = await self._cluster.read_pods(target)
        except ClusterError as error:
            log.warning("%s: cannot see which workers went: %s", target.key, error)
            return False
        asked = await ask(self._cluster, self._tally.to_ask(pods), port)
        if scales != self._scales:  # scaled meanwhile: this look is older than the one that the tally begins with
            return False
        self._tally, victims = self._tally.after(pods, {one.pod.uid: one.tasks_in_progress for one in asked})
        for victim in victims:
            self._tell(victim)
        return True
