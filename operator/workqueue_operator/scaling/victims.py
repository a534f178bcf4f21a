"""Which workers left in a scale-down, and whether they were at work. Pure: each look makes the next Tally.

A worker counts once, by its pod's UID, and only when it stayed in the last look before the scale. What it did is its
answer while it terminates, else its last one before that; a worker that gave no answer is unknown, and never busy.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from workqueue_operator.cluster.port import Pod
from workqueue_operator.scaling.deletion_order import WorkerAnswer


class State(StrEnum):
    """What a worker did when it got its SIGTERM."""

    IDLE = "idle"
    BUSY = "busy"
    #: It gave no answer, neither before nor while it went.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Victim:
    """A worker that left."""

    name: str
    state: State
    #: Whether its pod was meant to go; otherwise the ReplicaSet did not have our mark yet, or another program's.
    meant: bool


@dataclass(frozen=True)
class Candidate:
    """What is known of a worker that is not counted yet."""

    name: str
    #: Its last answer; 0 while its container did not run; None: no answer.
    tasks_in_progress: int | None
    running: bool
    meant: bool = False
    #: Its pod terminates, and it did not answer since.
    going: bool = False

    def as_victim(self, tasks_in_progress: int | None = None) -> Victim:
        """Counted, with what it answered while it went."""
        tasks = self.tasks_in_progress if tasks_in_progress is None else tasks_in_progress
        state = State.UNKNOWN if tasks is None else State.BUSY if tasks else State.IDLE
        return Victim(self.name, state, self.meant)


@dataclass(frozen=True)
class Tally:
    """The workers of one Deployment since it was last scaled."""

    #: The size it was scaled to.
    wanted: int = 0
    #: The workers that are not counted yet, by UID.
    workers: Mapping[str, Candidate] = field(default_factory=dict)
    #: UIDs of the workers counted since the scale; a look from before it may still show them as staying.
    counted: frozenset[str] = frozenset()

    @property
    def is_done(self) -> bool:
        """No more than wanted stay, and each of the others was counted."""
        going = sum(worker.going for worker in self.workers.values())
        return not going and len(self.workers) <= self.wanted

    @property
    def awaited(self) -> int:
        """How many are still to go."""
        return max(0, len(self.workers) - self.wanted)

    def scaled(self, wanted: int, asked: Sequence[WorkerAnswer], meant: Collection[str]) -> "Tally":
        """After another scale of ours. `asked`: the last look before it; `meant`: UIDs of the pods meant to go."""
        seen = {one.pod.uid: _worker(one, one.pod.uid in meant) for one in asked if one.pod.active}
        fresh = {uid: worker for uid, worker in seen.items() if uid not in self.counted and not self._is_going(uid)}
        return Tally(wanted, {**self.workers, **fresh})

    def to_ask(self, pods: Iterable[Pod]) -> list[Pod]:
        """The terminating pods of a look whose workers can still answer."""
        return [pod for pod in pods if pod.terminating and pod.running and pod.uid in self.workers]

    def after(self, pods: Sequence[Pod], answers: Mapping[str, int | None]) -> tuple["Tally", list[Victim]]:
        """After a look at the pods and the answers, by UID, of terminating ones: the next tally, and its victims."""
        present = {pod.uid: pod for pod in pods}
        left: dict[str, Candidate] = {}
        victims: dict[str, Victim] = {}
        for uid, worker in self.workers.items():
            pod, answer = present.get(uid), answers.get(uid)
            if pod is None or (pod.terminating and (answer is not None or not pod.running)):
                victims[uid] = worker.as_victim(answer)
            elif pod.terminating:
                left[uid] = replace(worker, going=True)
            elif pod.active:
                left[uid] = _seen_again(worker, pod)
        known = left.keys() | victims.keys() | self.counted
        late = {pod.uid: _worker(WorkerAnswer(pod, None)) for pod in pods if pod.active and pod.uid not in known}
        counted = self.counted | victims.keys()
        return Tally(self.wanted, {**left, **late}, counted), list(victims.values())

    def closed(self) -> list[Victim]:
        """Pods still terminating when the watch ends; they count by their last answer."""
        return [worker.as_victim() for worker in self.workers.values() if worker.going]

    def _is_going(self, uid: str) -> bool:
        return uid in self.workers and self.workers[uid].going


def _worker(one: WorkerAnswer, meant: bool = False) -> Candidate:
    tasks = one.tasks_in_progress if one.pod.running else 0
    return Candidate(one.pod.name, tasks, one.pod.running, meant)


def _seen_again(worker: Candidate, pod: Pod) -> Candidate:
    """A container that began to run since may have begun to work."""
    if pod.running and not worker.running:
        return replace(worker, running=True, tasks_in_progress=None)
    return worker
