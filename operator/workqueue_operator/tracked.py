"""What the operator knows of one WorkQueue: its spec, its broker, what was read of its queue, and its memory.

Kept by the store, changed by the loops and the passes.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from workqueue_broker.address import BrokerAddress
from workqueue_broker.errors import AccessRefused, BrokerError

from workqueue_operator.cluster.port import ClusterError, Notice
from workqueue_operator.memory import Memory
from workqueue_operator.rabbitmq.dead_letters import DeadLetters
from workqueue_operator.rabbitmq.leader import LeaderSeen
from workqueue_operator.rabbitmq.oldest_message import OldestMessage
from workqueue_operator.rabbitmq.queue_policy import Verdict
from workqueue_operator.resource import InvalidSpec, Key, Mode, QueueSpec, WorkQueue
from workqueue_operator.scaling.decision import Unknown
from workqueue_operator.scaling.demand import NO_MANAGEMENT_URI, Counts, NoRates
from workqueue_operator.scaling.rates import NOT_ASKED, Estimate
from workqueue_operator.status.write_budget import WriteBudget

#: Notices that wait to be posted; of more than so many only the latest are worth reading.
MOST_NOTICES = 20

#: Where a broker is, or why that is not known.
Address = BrokerAddress | BrokerError | ClusterError


@dataclass(frozen=True)
class PolicyCheck:
    """What was last found out about a queue's policy, and for which spec."""

    queue: QueueSpec
    mode: Mode
    verdict: Verdict


@dataclass
class LastReading:
    """What the broker last answered about the queue. Written by the loops."""

    #: Seconds of the clock when the queue was last asked for, and when it was for the last answer with counts.
    asked_at: float | None = None
    read_at: float | None = None
    reading: Counts | Unknown | None = None
    #: What was wrong with the answer; None: nothing.
    trouble: BrokerError | None = None
    #: Why its dead-letter queue could not be made; None: it was, or is not ours to make.
    dead_letter_trouble: BrokerError | None = None


@dataclass
class Tracked:
    """One WorkQueue: what it asks for, or why that cannot be used, and its memory."""

    key: Key
    uid: str
    generation: int
    spec: WorkQueue | InvalidSpec
    memory: Memory
    #: RFC 3339.
    created: str = ""
    #: Where its broker is, or why that is not known; None: not looked up yet. Store.set_address changes it.
    address: Address | None = None
    #: Whether the queue could be read with the login of `address`; None: not known yet.
    login_works: bool | None = None
    last: LastReading = field(default_factory=LastReading)
    #: What was found out about its policy; None: not looked at since the operator's start.
    policy: PolicyCheck | None = None
    #: How the queue moves, or why that is not known.
    estimate: Estimate = field(default_factory=Estimate)
    #: What may be written about it.
    writes: WriteBudget = field(default_factory=WriteBudget)
    #: Since when each reading was 0 and 0 (seconds of the clock), and what is known of the queue's leader.
    empty_since: float | None = None
    leader: LeaderSeen | None = None
    #: What its dead-letter queue holds, and what is known of that queue's leader.
    dead_letters: DeadLetters = field(default_factory=DeadLetters)
    dead_letter_leader: LeaderSeen | None = None
    #: How long its first message has waited.
    oldest: OldestMessage = field(default_factory=OldestMessage)
    #: The broker and virtual host that these are about; None: no broker yet.
    place: str | None = None
    #: Other WorkQueues on the same queue, as far as they have the same login. None until the management API was asked
    #: for the consumer timeout, or there is none to ask.
    sharers: tuple[Key, ...] | None = None
    #: Seconds, of the policy in force; None: none sets it, or it is not known.
    consumer_timeout: float | None = None
    #: Events to post at the next pass; kept until they are posted.
    notices: deque[Notice] = field(default_factory=lambda: deque(maxlen=MOST_NOTICES))
    #: The pass under way, so that a slow one is not overtaken by the next.
    running: "asyncio.Task[None] | None" = None
    #: Seconds of the clock before which no pass is started, after one that failed in a way that nothing foresaw.
    next_pass_at: float = 0.0

    @property
    def workqueue(self) -> WorkQueue | None:
        """Its spec; None: the spec cannot be used."""
        return self.spec if isinstance(self.spec, WorkQueue) else None

    def forget_queues(self) -> None:
        """What was observed of its two queues is about others: no rate is made of the totals of two queues."""
        self.dead_letters, self.dead_letter_leader, self.oldest = DeadLetters(), None, OldestMessage()
        self.estimate = Estimate(no_rates=no_rates_by(self.address))
        self.leader, self.empty_since, self.consumer_timeout, self.sharers = None, None, None, None

    def note_answer(self, trouble: BrokerError | None) -> None:
        """Take in what was wrong with the last reading; None: nothing.

        A login that worked still does while the broker only does not answer, or has no such queue.
        """
        self.last.trouble = trouble
        if trouble is None:
            self.login_works = True
        elif isinstance(trouble, AccessRefused) or not self.login_works:
            self.login_works = False


def no_rates_by(address: Address | None) -> NoRates:
    """Why there are no rates before the management API of an address was asked."""
    if isinstance(address, BrokerAddress) and not address.management_uri:
        return NO_MANAGEMENT_URI
    return NOT_ASKED
