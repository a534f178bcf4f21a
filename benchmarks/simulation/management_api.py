"""RabbitMQ's management API as it looks from outside: totals that the broker collected up to 5 s ago.

Each kind of number is collected on a timer of its own (`collect_statistics_interval`, 5,000 ms by default), so that
acks and messages in progress in one answer are of different moments.
"""

from functools import partial

from workqueue_operator.scaling.rates import Sample

from benchmarks.simulation.world import WATCHING_FROM, World

#: Seconds; RabbitMQ's default.
COLLECT_SECONDS = 5.0
#: Seconds by which the timers of the three kinds are apart.
PHASES = {"published": 0.4, "acked": 2.1, "unacknowledged": 3.9}


class ManagementApi:
    """Answers with what was last collected."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._collected = dict.fromkeys(PHASES, 0)
        for name, phase in PHASES.items():
            world.every(COLLECT_SECONDS, partial(self._collect, name), first=WATCHING_FROM + phase)

    def sample(self) -> Sample | None:
        """What the operator makes of an answer now; None while the queue has no total of publishes yet."""
        published = self._collected["published"]
        if not published:
            return None
        return Sample(self._world.now, published, self._collected["acked"], 0, self._collected["unacknowledged"])

    def _collect(self, name: str) -> None:
        self._collected[name] = getattr(self._world, name)
