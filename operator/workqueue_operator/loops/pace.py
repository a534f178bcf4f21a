"""How often each queue of a broker is asked for: within the read budget, and less often while it cannot be used.

A broker writes an error into its log for each question about a queue that is missing or has other parameters.
"""

from workqueue_broker.errors import BrokerError, QueueMismatch, QueueMissing

from workqueue_operator.resource import Key, QueueSpec

#: Seconds between two readings of a queue while the broker's read budget allows.
FASTEST_SECONDS = 0.2
#: The read budget: passive declares a second for one broker, past which pollPeriodSeconds alone rules.
READS_PER_SECOND = 500
#: Most seconds between two questions about a queue that cannot be used; pollPeriodSeconds, where that is longer.
UNUSABLE_CAP_SECONDS = 10.0

Asked = tuple[Key, QueueSpec]


class Pace:
    """Remembers which queues of a broker cannot be used. A queue of another spec is another one."""

    def __init__(self) -> None:
        #: Answers in a row by which the queue cannot be used.
        self._unusable: dict[Asked, int] = {}

    def seconds(self, asked: Asked, poll_period_seconds: float, members: int) -> float:
        """Seconds from one question about a queue to the next."""
        spacing = spacing_of(poll_period_seconds, members)
        if not (answers := self._unusable.get(asked)):
            return spacing
        return max(float(poll_period_seconds), min(UNUSABLE_CAP_SECONDS, spacing * 2.0 ** min(answers, 10)))

    def rests(self, asked: Asked) -> bool:
        """Whether it is asked for less often, as it cannot be used."""
        return asked in self._unusable

    def answered(self, asked: Asked, answer: object) -> None:
        """Take in an answer."""
        if isinstance(answer, QueueMissing | QueueMismatch):
            self._unusable[asked] = self._unusable.get(asked, 0) + 1
        elif not isinstance(answer, BrokerError):  # a broker that is away says nothing about the queue
            self._unusable.pop(asked, None)

    def keep(self, asked: set[Asked]) -> None:
        """Forget all others."""
        self._unusable = {one: count for one, count in self._unusable.items() if one in asked}


def spacing_of(poll_period_seconds: float, queues: int) -> float:
    """Seconds between two readings of a queue: what the budget gives, but never more than was asked for."""
    return min(float(poll_period_seconds), max(FASTEST_SECONDS, queues / READS_PER_SECOND))
