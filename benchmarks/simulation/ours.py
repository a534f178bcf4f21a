"""This project's operator in the simulated world: its own `decide`, History and Estimate, with the operator's timing.

The two ways to say what is wanted are two scalers here: messagesPerReplica alone, and drainSeconds with rates.
"""

from collections.abc import Callable
from dataclasses import replace

from workqueue_operator.resource import ScalingPolicy
from workqueue_operator.scaling.decision import ScalingDecision, Situation, Workers, decide
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.scaling.history import History
from workqueue_operator.scaling.rates import Estimate

from benchmarks.simulation.management_api import ManagementApi
from benchmarks.simulation.world import WATCHING_FROM, Worker, World

#: Seconds between two questions to the management API, and what one question takes (measuring.MEASURE_SECONDS).
MEASURE_SECONDS = 5.0
QUESTION_SECONDS = 0.02
#: Seconds between two rounds of asking the workers (apply.ASK_PERIOD_SECONDS), from the answers to the second look,
#: and from that one to the SIGTERM of those that go: the race that remains.
ASK_PERIOD_SECONDS = 1.0
MARK_SECONDS = 0.1
RACE_SECONDS = 0.05


class Operator:
    """Polls, decides, and shrinks by idle workers alone."""

    def __init__(self, world: World, policy: ScalingPolicy) -> None:
        self._world = world
        self._policy = policy
        self._history = History()
        self._api = ManagementApi(world)
        self._estimate = Estimate()
        self._ask_again_at = WATCHING_FROM
        self._shrinking = False
        world.every(policy.poll_period_seconds, self._pass, first=WATCHING_FROM)
        if policy.drain_seconds:
            world.every(MEASURE_SECONDS + QUESTION_SECONDS, self._measure, first=WATCHING_FROM + 3.3)

    def _measure(self) -> None:
        sample = self._api.sample()
        if sample:
            self._estimate = self._estimate.updated(sample)

    def _pass(self) -> None:
        if self._shrinking:  # the pass before this one still goes on
            return
        decision = self._decide(removable=None)
        self._history = self._history.remember(self._world.now, decision.wanted, self._window, known=True)
        if decision.ask_workers:
            if self._world.now >= self._ask_again_at:
                self._ask_again_at = self._world.now + ASK_PERIOD_SECONDS
                self._shrink()
        else:
            self._world.scale(decision.replicas)

    @property
    def _window(self) -> float:
        return self._policy.scale_down_stabilization_seconds

    def _decide(self, removable: int | None) -> ScalingDecision:
        world = self._world
        rates = self._estimate.rates(world.now)
        last = self._estimate.last
        unacknowledged = last.messages_unacknowledged if last and self._estimate.is_fresh(world.now) else None
        counts = Counts(world.messages_ready, world.consumers, rates, messages_unacknowledged=unacknowledged)
        workers = Workers(world.replicas, ready=world.consumers, removable=removable)
        return decide(self._policy, Situation(counts, workers), self._history, world.now)

    def _shrink(self) -> None:
        """Ask, mark, look again, scale: as the operator's Applier does."""
        world = self._world
        idle = [worker for worker in world.workers if worker.idle and not worker.leaving]
        decision = self._decide(removable=len(idle))
        if decision.replicas >= world.replicas:
            return
        going = world.deletion_order(idle)[: world.replicas - decision.replicas]
        self._shrinking = True
        world.at(world.now + MARK_SECONDS, lambda: self._look_again(going, decision.replicas))

    def _look_again(self, going: list[Worker], replicas: int) -> None:
        if all(worker.idle for worker in going):
            self._world.at(self._world.now + RACE_SECONDS, lambda: self._take(going, replicas))
        else:
            self._shrinking = False

    def _take(self, going: list[Worker], replicas: int) -> None:
        self._shrinking = False
        self._world.scale(replicas, going)


def with_messages_per_replica(policy: ScalingPolicy) -> Callable[[World], Operator]:
    """The operator that looks at messages_ready alone."""
    return lambda world: Operator(world, replace(policy, drain_seconds=None))


def with_drain_seconds(policy: ScalingPolicy, drain_seconds: int) -> Callable[[World], Operator]:
    """The operator that knows rates and has a time to drain."""
    return lambda world: Operator(world, replace(policy, drain_seconds=drain_seconds))
