"""How a delivery ended: the value from which the settlement, the counter and the log line are made."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from workqueue_worker.delivery import Delivery
from workqueue_worker.running import Running

logger = logging.getLogger("workqueue_worker.tasks")


class Action(Enum):
    """What the broker is told."""

    ACK = auto()
    #: Returned, and no fault of the task's.
    HAND_BACK = auto()
    #: Returned as failed.
    RETURN_FAILED = auto()


class Counting(Protocol):
    """A series of metrics.WorkerMetrics."""

    def inc(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a delivery."""

    running: Running
    action: Action
    #: In one word or two, for the log.
    outcome: str
    #: The one counter that this delivery belongs to.
    counter: Counting
    #: Number of the attempt; 1 is the first.
    attempt: int
    #: How long the handler had the task.
    seconds: float
    detail: str = ""
    #: Called with the delivery when the broker could not be told that its work is done.
    on_ack_lost: Callable[[Delivery], None] | None = None

    def log(self, *, sent: bool) -> None:
        """Write the task's line. `sent`: the broker was told; otherwise it gives the task to somebody again."""
        if not sent and self.on_ack_lost:
            self.on_ack_lost(self.running.delivery)
        fields: dict[str, object] = {
            "id": self.running.delivery.message_id,
            "attempt": self.attempt,
            "seconds": round(self.seconds, 3),
            "outcome": self.outcome if sent else f"{self.outcome}, ack lost",
        }
        if traceparent := self.running.delivery.headers.get("traceparent"):
            fields["traceparent"] = traceparent
        if self.detail:
            fields["detail"] = self.detail
        level = logging.INFO if sent and not self.detail else logging.WARNING
        logger.log(level, "task", extra={"fields": fields})
