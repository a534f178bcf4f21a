"""How many messages wait in a dead-letter queue, and when it is next asked for. Pure: an answer makes the next value.

Each question about a queue that is missing or refused closes a channel and is a line in the broker's log, so that such
a queue is asked for less and less often.
"""

from dataclasses import dataclass, replace

from workqueue_broker.declaration import QueueCounts
from workqueue_broker.errors import BrokerError, BrokerUnavailable

from workqueue_operator.rabbitmq.leader import LeaderSeen, has_leader
from workqueue_operator.resource import QueueSpec

#: Seconds between two questions, and the longest pause for a queue that cannot be read.
ASK_SECONDS = 15.0
CAP_SECONDS = 600.0
#: Seconds after which a count is too old.
STALE_SECONDS = 60.0


@dataclass(frozen=True)
class DeadLetters:
    """What is known of one dead-letter queue. All times are seconds of the operator's clock."""

    #: None: not known.
    messages: int | None = None
    counted_at: float = float("-inf")
    ask_at: float = float("-inf")
    #: Answers in a row by which the queue cannot be read.
    failures: int = 0
    #: Since when each answer was 0 messages and 0 consumers; None: the last one was not.
    empty_since: float | None = None

    def count(self, now: float) -> int | None:
        """The messages; None: not known, or too old."""
        return self.messages if now - self.counted_at <= STALE_SECONDS else None

    def asked(self, now: float) -> "DeadLetters":
        """While the answer is awaited: should that fail in a way that nothing foresaw, it is not the next one again."""
        return replace(self, ask_at=now + ASK_SECONDS)

    def failed(self, error: BrokerError, now: float) -> "DeadLetters":
        """After an error. A broker that is away says nothing about the queue: it is asked for as before."""
        if isinstance(error, BrokerUnavailable):
            return replace(self, ask_at=now + ASK_SECONDS)
        pause = min(CAP_SECONDS, ASK_SECONDS * 2.0 ** min(self.failures, 10))
        return DeadLetters(ask_at=now + pause, failures=self.failures + 1)

    def counted(self, counts: QueueCounts, leader: LeaderSeen | None, queue: QueueSpec, now: float) -> "DeadLetters":
        """After an answer. A quorum queue without a leader answers 0 and 0 too, which is no count of an empty queue.

        `leader`: what the management API last answered about the dead-letter queue.
        """
        empty_since = None
        messages: int | None = counts.messages_ready
        if (counts.messages_ready, counts.consumers) == (0, 0):
            empty_since = now if self.empty_since is None else self.empty_since
            messages = 0 if has_leader(leader, queue.declaration.type, empty_since, now) else None
        return DeadLetters(messages, now, now + ASK_SECONDS, empty_since=empty_since)
