"""Which workers may go: the order in which a ReplicaSet deletes its pods, and how far along it nobody works. Pure.

Source of the order: Kubernetes pkg/controller/controller_utils.go, ActivePodsWithRanks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from workqueue_operator.cluster import Pod

#: The deletion cost of a pod that is meant to go; pods without one count 0 and go later.
GOING_COST = -1000


@dataclass(frozen=True)
class Asked:
    """A pod and what it answered."""

    pod: Pod
    #: None: no answer.
    tasks_in_progress: int | None

    @property
    def is_idle(self) -> bool:
        """Seen without a task just now. A container that does not run has none; no answer is busy."""
        return not self.pod.running or self.tasks_in_progress == 0


@dataclass(frozen=True)
class Departure:
    """Who is meant to go, and whose mark must be taken away first."""

    going: tuple[Pod, ...]
    unmark: tuple[Pod, ...]


def deletion_order(asked: Sequence[Asked]) -> list[Asked]:
    """The pods in the order in which a ReplicaSet would delete them, once the idle ones are marked."""
    return sorted(asked, key=lambda one: _rank(one.pod, GOING_COST if one.is_idle else 0))


def removable(asked: Sequence[Asked], replicas: int) -> int:
    """How many of `replicas` can go without a busy worker being among them.

    Pods that are not made yet go first; then the idle ones, up to the first busy pod that would be deleted before
    them, such as one that is not Ready while it finishes a task.
    """
    staying = _staying(asked)
    idle_first = sum(1 for _ in takewhile(lambda one: one.is_idle, deletion_order(staying)))
    return max(0, min(replicas, replicas - len(staying) + idle_first))


def choose(asked: Sequence[Asked], wanted: int) -> Departure:
    """The pods to mark so that a step down to `wanted` takes just them."""
    staying = _staying(asked)
    going = tuple(one.pod for one in deletion_order(staying)[: max(0, len(staying) - wanted)])
    names = {pod.name for pod in going}
    unmark = tuple(one.pod for one in staying if one.pod.deletion_cost == GOING_COST and one.pod.name not in names)
    return Departure(going, unmark)


def _staying(asked: Sequence[Asked]) -> list[Asked]:
    return [one for one in asked if not one.pod.terminating]


def _rank(pod: Pod, cost: int) -> tuple[bool, bool, int, float]:
    """Small goes first: pending, then not ready, then cheap, then young."""
    return not pod.pending, pod.ready, cost, -pod.created
