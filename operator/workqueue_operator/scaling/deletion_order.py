"""Which workers may go: the order in which a ReplicaSet deletes its pods, and how far along it all are idle. Pure.

Source of the order: Kubernetes pkg/controller/controller_utils.go, ActivePodsWithRanks. Among pods that this page does
not distinguish it has further criteria, some of them random, so there the busy ones are taken to go first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from workqueue_operator.cluster.port import Pod

#: The deletion cost of a pod that is meant to go; pods without one count 0 and go later.
GOING_COST = -1000


@dataclass(frozen=True)
class WorkerAnswer:
    """A pod and what it answered."""

    pod: Pod
    #: None: no answer.
    tasks_in_progress: int | None

    @property
    def may_go(self) -> bool:
        """Without a task just now, as far as is known: a container that does not run has none."""
        return not self.pod.running or self.tasks_in_progress == 0


@dataclass(frozen=True)
class Departure:
    """Which pods are meant to go, which of them need a mark for it, and which pods must lose our mark first."""

    going: tuple[Pod, ...] = ()
    mark: tuple[Pod, ...] = ()
    unmark: tuple[Pod, ...] = ()


def deletion_order(asked: Sequence[WorkerAnswer]) -> list[WorkerAnswer]:
    """The pods that a ReplicaSet counts, in the order in which it deletes them by the costs that they have."""
    return sorted((one for one in asked if one.pod.active), key=_rank)


def removable(asked: Sequence[WorkerAnswer], replicas: int) -> int:
    """How many of `replicas` can go without a busy worker being among them, by the costs that the pods have.

    Pods that are not made yet go first; then the idle ones, up to the first busy pod that would be deleted before
    them, such as one that is not Ready while it finishes a task.
    """
    order = deletion_order(asked)
    idle_first = sum(1 for _ in takewhile(lambda one: one.may_go, order))
    return max(0, min(replicas, replicas - len(order) + idle_first))


def removable_once_marked(asked: Sequence[WorkerAnswer], replicas: int) -> int:
    """How many of `replicas` could go once the idle ones are marked and no busy one is by us."""
    return removable([_as_marked(one) for one in asked], replicas)


def choose(asked: Sequence[WorkerAnswer], wanted: int) -> Departure:
    """The pods to mark so that a step down to `wanted` takes just them; where all go there is nothing to choose."""
    order = [one.pod for one in sorted((one for one in asked if one.pod.active), key=_preference)]
    going = tuple(order[: max(0, len(order) - wanted)])
    if wanted == 0:
        return Departure(going)
    staying = order[len(going) :]
    return Departure(
        going,
        mark=tuple(pod for pod in going if pod.deletion_cost > GOING_COST),
        unmark=tuple(pod for pod in staying if pod.deletion_cost == GOING_COST),
    )


def _as_marked(one: WorkerAnswer) -> WorkerAnswer:
    """With the cost that it will have: a user's own low cost on a busy pod is not ours to take away."""
    cost = one.pod.deletion_cost
    if one.may_go:
        cost = min(cost, GOING_COST)
    elif cost == GOING_COST:
        cost = 0
    return replace(one, pod=replace(one.pod, deletion_cost=cost))


def _rank(one: WorkerAnswer) -> tuple[bool, bool, int, bool]:
    """Small goes first: pending, then not ready, then cheap; busy before idle where that does not decide."""
    return not one.pod.pending, one.pod.ready, one.pod.deletion_cost, one.may_go


def _preference(one: WorkerAnswer) -> tuple[bool, bool, int, bool, float]:
    """In the ReplicaSet's order; the choice that is ours goes to those marked before, then to the youngest."""
    pod = one.pod
    return not pod.pending, pod.ready, _as_marked(one).pod.deletion_cost, pod.deletion_cost > GOING_COST, -pod.created
