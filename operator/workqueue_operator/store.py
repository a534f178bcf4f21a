"""What the operator knows: each WorkQueue with its memory, and the Deployments as they were last seen.

Fed by the handlers, read by the loops, in one event loop; nothing here waits.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from workqueue_broker.address import BrokerAddress

from workqueue_operator.by_age import ByAge
from workqueue_operator.cluster.port import ClusterError, Listing, Target
from workqueue_operator.memory import Memory, Reported
from workqueue_operator.rabbitmq.broker_errors import BrokerErrors
from workqueue_operator.resource import InvalidSpec, Key, WorkQueue, parse
from workqueue_operator.scaling.decision import Unknown, Workers, readable
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.scaling.history import History
from workqueue_operator.status.condition_events import open_in
from workqueue_operator.tracked import Address, Tracked, no_rates_by

#: Secrets of brokers that the WorkQueues of one namespace may name, and so the connections that they may make.
MOST_SECRETS = 16

#: A queue, as far as it can be known from outside: the nodes, the virtual host and the name.
_Queue = tuple[tuple[tuple[str, int], ...], str, str]


class Store:
    """WorkQueues and Deployments by key."""

    def __init__(self) -> None:
        self._workqueues: dict[Key, Tracked] = {}
        self._targets: dict[Key, Target] = {}
        #: Deployments and WorkQueues whose last list was older than what is known, as after a restore of the cluster.
        self._behind: set[Key] = set()
        self._workqueues_behind: set[Key] = set()
        self._by_address: ByAge[BrokerAddress] = ByAge()
        self._by_target: ByAge[Key] = ByAge()
        self._by_queue: ByAge[_Queue] = ByAge()
        self._by_secret: ByAge[Key] = ByAge()
        self._broker_errors = BrokerErrors()
        #: Set whenever a WorkQueue came, changed or went.
        self.changed = asyncio.Event()

    def __iter__(self) -> Iterator[Tracked]:
        return iter(list(self._workqueues.values()))

    def __len__(self) -> int:
        return len(self._workqueues)

    def members(self, address: BrokerAddress) -> list[Tracked]:
        """The WorkQueues of one broker, virtual host and credential, the oldest first."""
        return [self._workqueues[key] for key in self._by_address[address]]

    def rivals(self, tracked: Tracked) -> list[Tracked]:
        """The WorkQueues of the same queue, by whatever login, the oldest first; itself is among them."""
        queue = _queue_of(tracked)
        return [self._workqueues[key] for key in self._by_queue[queue]] if queue else []

    def users(self) -> tuple[dict[Key, list[Tracked]], dict[Key, list[Tracked]]]:
        """The WorkQueues that name each Secret: of Secrets that are read, and of one too many for its namespace.

        The Secrets of a namespace that the oldest WorkQueues name are read, so that a new one takes no place away.
        """
        read: dict[Key, list[Tracked]] = {}
        too_many: dict[Key, list[Tracked]] = {}
        counts: dict[str, int] = {}
        for secret in self._by_secret.groups():
            counts[secret.namespace] = count = counts.get(secret.namespace, 0) + 1
            users = [self._workqueues[key] for key in self._by_secret[secret]]
            (read if count <= MOST_SECRETS else too_many)[secret] = users
        return read, too_many

    def set_address(self, tracked: Tracked, address: Address) -> None:
        """Where its broker is now; what is known of the login before stays when the login is the same."""
        if tracked.address != address:
            tracked.address, tracked.last.trouble, tracked.login_works = address, None, None
            if isinstance(address, BrokerAddress) and address.place != tracked.place:
                tracked.place = address.place
                tracked.forget_queues()
            tracked.estimate = tracked.estimate.without_sample(no_rates_by(address))
            self._place(tracked)

    def count_broker_error(self, address: Address | None, kind: str) -> None:
        """Count an answer of a broker, or of its management API, that could not be used."""
        if isinstance(address, BrokerAddress):
            self._broker_errors.count(address.place, kind, self._places)

    def broker_errors(self) -> Mapping[str, Mapping[str, int]]:
        """By kind of error, of each broker that a WorkQueue uses."""
        return {place: self._broker_errors.of(place) for place in self._places()}

    def _places(self) -> list[str]:
        return [address.place for address in self._by_address.groups()]

    def see_workqueue(self, body: Mapping[str, Any], *, listed: bool = False) -> None:
        """Take in a WorkQueue as the API server has it; a spec that cannot be used is kept as its error.

        An older generation is not taken in: a list may have been made just before an edit. See see_target.
        """
        key = Key.of(body)
        metadata = body["metadata"]
        known = self._workqueues.get(key)
        if known and (known.uid, known.generation) == (metadata["uid"], metadata["generation"]):
            self._workqueues_behind.discard(key)
            return  # our own status writes come back as events too
        older = known and known.uid == metadata["uid"] and metadata["generation"] < known.generation
        if older and not (listed and key in self._workqueues_behind):
            self._workqueues_behind |= {key} if listed else set()
            return
        self._workqueues_behind.discard(key)
        spec = _parsed(body)
        if known and known.uid == metadata["uid"]:
            before, known.spec, known.generation = known.workqueue, spec, metadata["generation"]
            if _secret_of(before) != _secret_of(known.workqueue):
                known.address = known.last.trouble = known.login_works = None
            if _queues_of(before) != _queues_of(known.workqueue):
                known.forget_queues()
        else:
            status = dict(body.get("status") or {})
            reported = Reported(status=status, open_warnings=open_in(status))
            memory = Memory(History(in_use=_was_in_use(status)), reported=reported)
            created = str(metadata.get("creationTimestamp", ""))
            known = Tracked(key, metadata["uid"], metadata["generation"], spec, memory, created)
            self._workqueues[key] = known
        self._place(known)
        self.changed.set()

    def forget_workqueue(self, key: Key) -> None:
        """The WorkQueue is gone; its Deployment is left as it is."""
        self._workqueues_behind.discard(key)
        if self._workqueues.pop(key, None):
            for index in (self._by_address, self._by_target, self._by_queue, self._by_secret):
                index.place(key, "", None)
            self.changed.set()

    def keys(self) -> frozenset[Key]:
        """The WorkQueues known now."""
        return frozenset(self._workqueues)

    def replace_workqueues(self, listing: Listing, known_before: frozenset[Key]) -> None:
        """Take in whole lists: of each namespace that could be listed, what was known and is not in it is gone."""
        for place, found in listing.items():
            if not isinstance(found, ClusterError):
                self._replace(found, {key for key in known_before if place in ("", key.namespace)})

    def see_target(self, target: Target, *, listed: bool = False) -> None:
        """Take in a Deployment, unless a later state of the same object is known.

        A list may have been made just before a change of ours. The second one in a row that is older than what we
        know comes from a cluster that was restored from a backup, and then it is what there is.
        """
        known = self._targets.get(target.key)
        older = known and known.uid == target.uid and target.resource_version < known.resource_version
        if not older or (listed and target.key in self._behind):
            self._behind.discard(target.key)
            self._targets[target.key] = target
        elif listed:
            self._behind.add(target.key)

    def forget_target(self, key: Key) -> None:
        """The Deployment is gone."""
        self._targets.pop(key, None)
        self._behind.discard(key)

    def target(self, key: Key) -> Target | None:
        """The Deployment as last seen."""
        return self._targets.get(key)

    def readable(self, tracked: Tracked, reading: Counts | Unknown) -> Counts | Unknown:
        """A reading judged beside the Deployment as last seen, for where no decision carries it."""
        target = self.target(tracked.workqueue.target) if tracked.workqueue else None
        workers = Workers(target.replicas, target.ready) if target else Workers(0, 0)
        return readable(reading, workers, tracked.memory.history.in_use)

    def owner_of(self, target: Key) -> Key | None:
        """The WorkQueue that may scale the Deployment: the oldest WorkQueue that names it."""
        return self._by_target.oldest(target)

    def _place(self, tracked: Tracked) -> None:
        """Into the indexes, as it is now."""
        key, created, spec, address = tracked.key, tracked.created, tracked.workqueue, tracked.address
        self._by_target.place(key, created, spec.target if spec else None)
        self._by_secret.place(key, created, _secret_of(spec))
        self._by_address.place(key, created, address if spec and isinstance(address, BrokerAddress) else None)
        self._by_queue.place(key, created, _queue_of(tracked))

    def _replace(self, bodies: Sequence[Mapping[str, Any]], known_before: Set[Key]) -> None:
        """One that is being deleted is gone, too."""
        staying = [body for body in bodies if "deletionTimestamp" not in body["metadata"]]
        for body in staying:
            self.see_workqueue(body, listed=True)
        for key in known_before - {Key.of(body) for body in staying}:
            self.forget_workqueue(key)


def _secret_of(workqueue: WorkQueue | None) -> Key | None:
    return Key(workqueue.key.namespace, workqueue.broker_secret) if workqueue else None


def _queues_of(workqueue: WorkQueue | None) -> tuple[str, str] | None:
    return (workqueue.queue.declaration.name, workqueue.queue.dead_letter_queue) if workqueue else None


def _queue_of(tracked: Tracked) -> _Queue | None:
    address, workqueue = tracked.address, tracked.workqueue
    if isinstance(address, BrokerAddress) and workqueue:
        return address.hosts, address.virtual_host, workqueue.queue.declaration.name
    return None


def _parsed(body: Mapping[str, Any]) -> WorkQueue | InvalidSpec:
    try:
        return parse(body)
    except InvalidSpec as error:
        return error


def _was_in_use(status: Mapping[str, Any]) -> bool:
    """Whether a worker may have consumed: also when the last thing written is that nothing was known."""
    known = (status.get("messagesReady"), status.get("consumers"))
    if not status or known == (0, 0):
        return False
    return None in known or (known[1], status.get("readyReplicas")) != (0, 0)
