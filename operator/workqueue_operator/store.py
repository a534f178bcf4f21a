"""What the operator knows: each WorkQueue with its memory, and the Deployments as they were last seen.

Fed by the handlers, read by the loops, in one event loop; nothing here waits.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from workqueue_broker.address import BrokerAddress
from workqueue_broker.errors import BrokerError

from workqueue_operator.cluster import ClusterError, Listing, Notice, Target
from workqueue_operator.demand import Counts
from workqueue_operator.health import Health
from workqueue_operator.history import History
from workqueue_operator.queue_policy import Verdict
from workqueue_operator.rates import Estimate
from workqueue_operator.resource import InvalidSpec, Key, Mode, QueueSpec, ScalingPolicy, WorkQueue, parse
from workqueue_operator.scaling import ManualSize, ScalingDecision, Unknown
from workqueue_operator.status import Change
from workqueue_operator.victim_watch import VictimWatch

#: Notices that wait to be posted; of more than so many only the latest are worth reading.
MOST_NOTICES = 20


@dataclass(frozen=True)
class Unanswered:
    """A scale of ours whose answer is missing: it was carried out, or not, or will be."""

    replicas: int
    #: Seconds of the clock after which no API server still carries it out.
    until: float


@dataclass(frozen=True)
class Held:
    """What came of asking the workers; it stands while they are not asked again."""

    decision: ScalingDecision
    #: The Deployment's size that it was decided for.
    replicas: int
    #: Over all workers that answered.
    tasks_in_progress: int | None
    #: Seconds of the clock before which workers are not asked again.
    until: float


@dataclass
class Memory:
    """What the passes over one WorkQueue leave to the next ones."""

    history: History = field(default_factory=History)
    #: The Deployment; with another UID it is another one. None: not seen yet.
    target_uid: str | None = None
    #: The replicas we last asked for; a Deployment that has others was scaled by somebody else. None: not yet known.
    asked_replicas: int | None = None
    unanswered: Unanswered | None = None
    #: The Deployment's replicas after the last pass.
    replicas: int | None = None
    #: A size that somebody else gave it, and until when (seconds of the clock) it is kept.
    manual: ManualSize | None = None
    manual_until: float = 0.0
    decision: ScalingDecision | None = None
    held: Held | None = None
    #: The deletion costs that pods had before our mark, by UID of those that bear it as far as we know.
    marks: dict[str, int] = field(default_factory=dict)
    #: Seconds of the clock before which marks that could not be taken away are left alone.
    unmark_at: float = float("-inf")
    #: Who goes after our scales of the Deployment; None: none yet.
    victim_watch: VictimWatch | None = None
    #: Failed passes in a row, and the time before which the cluster is left alone.
    failures: int = 0
    retry_at: float = 0.0
    #: How the pods were over the last looks at them, and when that was.
    health: Health = field(default_factory=Health)
    health_checked_at: float = float("-inf")
    #: Another autoscaler on the Deployment, and when that was last looked for.
    autoscaler: str | None = None
    autoscaler_checked_at: float = float("-inf")
    #: The last reading and when it was made.
    reading: Counts | Unknown | None = None
    read_at: float | None = None
    #: What changed the Deployment and is not in the status yet, oldest first.
    changes: list[Change] = field(default_factory=list)
    #: The status as last written, and when.
    status: dict[str, Any] = field(default_factory=dict)
    status_written_at: float = float("-inf")

    def meet(self, target_uid: str) -> None:
        """A Deployment that was deleted and made again was scaled by nobody, and its pods are others."""
        if self.target_uid not in (None, target_uid):
            if self.victim_watch:
                self.victim_watch.stop()
            self.asked_replicas = self.unanswered = self.manual = self.held = self.victim_watch = None
        self.target_uid = target_uid

    def remember(self, decision: ScalingDecision, reading: Counts | Unknown, now: float, policy: ScalingPolicy) -> None:
        """Keep what was wanted; a queue that could not be read wants what is there."""
        known = isinstance(reading, Counts)
        history = self.history.saw(reading) if isinstance(reading, Counts) else self.history
        window, poll = policy.scale_down_stabilization_seconds, policy.poll_period_seconds
        self.history = history.remember(now, decision.wanted, window, known=known, poll_seconds=poll)


@dataclass(frozen=True)
class Checked:
    """What was last found out about a queue's policy, and for which spec."""

    queue: QueueSpec
    mode: Mode
    verdict: Verdict


@dataclass
class Tracked:
    """One WorkQueue: what it asks for, or why that cannot be used, and its memory."""

    key: Key
    uid: str
    generation: int
    spec: WorkQueue | InvalidSpec
    memory: Memory
    #: Where its broker is, or why that is not known; None: not looked up yet.
    address: BrokerAddress | BrokerError | ClusterError | None = None
    #: Seconds of the clock when the queue was last asked for, and what was wrong with the answer.
    asked_at: float | None = None
    trouble: BrokerError | None = None
    #: Why its dead-letter queue could not be made.
    dead_letter_trouble: BrokerError | None = None
    #: What was found out about its policy; None: nobody looked since the operator's start.
    policy: Checked | None = None
    #: How the queue moves, and why that is not known.
    estimate: Estimate = field(default_factory=Estimate)
    no_rates: str = "the broker's Secret has no management_uri"
    #: Told at the next pass, and kept until they are.
    notices: deque[Notice] = field(default_factory=lambda: deque(maxlen=MOST_NOTICES))
    #: The pass under way, so that a slow one is not overtaken by the next.
    running: "asyncio.Task[None] | None" = None


class Store:
    """WorkQueues and Deployments by key."""

    def __init__(self) -> None:
        self._workqueues: dict[Key, Tracked] = {}
        self._targets: dict[Key, Target] = {}
        #: Set whenever a WorkQueue came, changed or went.
        self.changed = asyncio.Event()

    def __iter__(self) -> Iterator[Tracked]:
        return iter(list(self._workqueues.values()))

    def __len__(self) -> int:
        return len(self._workqueues)

    def members(self, address: BrokerAddress) -> list[Tracked]:
        """The WorkQueues of one broker, virtual host and credential."""
        return [tracked for tracked in self._workqueues.values() if tracked.address == address]

    def see_workqueue(self, body: Mapping[str, Any]) -> None:
        """Take in a WorkQueue as the API server has it; a spec that cannot be used is kept as its error."""
        key = _key(body)
        metadata = body["metadata"]
        known = self._workqueues.get(key)
        if known and (known.uid, known.generation) == (metadata["uid"], metadata["generation"]):
            return  # our own status writes come back as events too
        if known and known.uid == metadata["uid"]:
            known.spec, known.generation, known.address = _parsed(body), metadata["generation"], None
        else:
            status = dict(body.get("status") or {})
            memory = Memory(status=status, history=History(in_use=_was_in_use(status)))
            self._workqueues[key] = Tracked(key, metadata["uid"], metadata["generation"], _parsed(body), memory)
        self.changed.set()

    def forget_workqueue(self, key: Key) -> None:
        """The WorkQueue is gone; its Deployment is left as it is."""
        if self._workqueues.pop(key, None):
            self.changed.set()

    def keys(self) -> frozenset[Key]:
        """The WorkQueues known now."""
        return frozenset(self._workqueues)

    def replace_workqueues(self, listing: Listing, known_before: frozenset[Key]) -> None:
        """Take in whole lists: of each namespace that could be listed, what was known and is not in it is gone."""
        for place, found in listing.items():
            if not isinstance(found, ClusterError):
                self._replace(found, {key for key in known_before if place in ("", key.namespace)})

    def see_target(self, target: Target) -> None:
        """Take in a Deployment, unless a later state of the same object is known."""
        known = self._targets.get(target.key)
        if known is None or known.uid != target.uid or known.resource_version <= target.resource_version:
            self._targets[target.key] = target

    def forget_target(self, key: Key) -> None:
        """The Deployment is gone."""
        self._targets.pop(key, None)

    def target(self, key: Key) -> Target | None:
        """The Deployment as last seen."""
        return self._targets.get(key)

    def owner_of(self, target: Key) -> Key | None:
        """The WorkQueue that may scale the Deployment: the oldest of those that name it."""
        claims = [
            (tracked.spec.created, str(tracked.key), tracked.key)
            for tracked in self._workqueues.values()
            if isinstance(tracked.spec, WorkQueue) and tracked.spec.target == target
        ]
        return min(claims)[2] if claims else None

    def _replace(self, bodies: Sequence[Mapping[str, Any]], known_before: Set[Key]) -> None:
        """One that is being deleted is gone, too."""
        staying = [body for body in bodies if "deletionTimestamp" not in body["metadata"]]
        for body in staying:
            self.see_workqueue(body)
        for key in known_before - {_key(body) for body in staying}:
            self.forget_workqueue(key)


def _parsed(body: Mapping[str, Any]) -> WorkQueue | InvalidSpec:
    try:
        return parse(body)
    except InvalidSpec as error:
        return error


def _was_in_use(status: Mapping[str, Any]) -> bool:
    """Whether the queue may have had messages or consumers: also when the last thing written is that nobody knew."""
    return bool(status) and (status.get("messagesReady"), status.get("consumers")) != (0, 0)


def _key(body: Mapping[str, Any]) -> Key:
    return Key(body["metadata"]["namespace"], body["metadata"]["name"])
