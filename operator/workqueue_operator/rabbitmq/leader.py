"""Whether a queue that answers 0 messages and 0 consumers is empty, or only has no leader. Pure."""

from dataclasses import dataclass

from workqueue_broker.declaration import QueueType

#: Seconds for which a queue must have answered so before the management API is believed, whose numbers are 5 s old.
SETTLED_SECONDS = 10.0
#: Seconds after which what the management API answered is too old.
STALE_SECONDS = 30.0


@dataclass(frozen=True)
class LeaderSeen:
    """What the management API answered about a queue's leader."""

    #: Seconds of the operator's clock when it was asked.
    asked_at: float
    #: In RabbitMQ's word: quorum, classic, stream; None: not answered.
    type: str | None
    #: It too has 0 messages and 0 consumers, and shows a leader.
    empty: bool


def has_leader(seen: LeaderSeen | None, declared: QueueType, empty_since: float, now: float) -> bool:
    """Whether something beside the counts shows that the queue has a leader; a classic queue always answers itself.

    Of a quorum queue whose leader is gone the management API goes on showing the last numbers, and a leader (seen with
    4.0 and its Ra server stopped). So what counts is that these numbers, which only a leader renews, became 0 too.
    `empty_since`: seconds of the clock since when each answer over AMQP was 0 and 0.
    """
    kind = seen.type if seen and seen.type else declared.lower()
    if kind == "classic":
        return True
    if seen is None or not seen.empty or now - seen.asked_at > STALE_SECONDS:
        return False
    return seen.asked_at - empty_since >= SETTLED_SECONDS
