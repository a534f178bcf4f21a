"""How a delivery ended: the value from which the settlement, the counter and the log line are made."""

import logging
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple, Protocol

from workqueue_worker import logs
from workqueue_worker.delivery import Delivery
from workqueue_worker.running import Running

logger = logs.logger("workqueue_worker.tasks")


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


class Result(NamedTuple):  # made for every task, as Delivery
    """What became of a delivery."""

    running: Running
    action: Action
    #: In one word or two, for the log.
    outcome: str
    #: The one counter that this delivery belongs to.
    counter: Counting
    detail: str = ""
    #: Called with the delivery when the broker may not have heard that its work is done.
    on_ack_lost: Callable[[Delivery], None] | None = None

    def tell(self, *, sent: bool) -> None:
        """Say it to who asked, and to the log. `sent`: the broker was told; else it gives the task out again."""
        if not sent:
            self.doubt()
        log_task(self.running, self.outcome, self.detail, sent=sent)

    def doubt(self) -> None:
        """The broker was not told, or the connection was lost before it can be known that it has heard it."""
        if self.on_ack_lost:
            self.on_ack_lost(self.running.delivery)


def log_task(running: Running, outcome: str, detail: str = "", *, sent: bool) -> None:
    """The one line of a delivery; see Result.tell."""
    delivery = running.delivery
    fields: dict[str, object] = {
        "id": delivery.message_id,
        "attempt": running.attempt,
        "seconds": round(running.seconds, 3),
        "outcome": outcome if sent else f"{outcome}, ack lost",
    }
    if delivery.message_id is None and delivery.described.correlation_id is not None:
        fields["correlation_id"] = delivery.described.correlation_id  # Celery sets it in place of an id
    if traceparent := delivery.headers.get("traceparent"):
        fields["traceparent"] = traceparent
    if detail:
        fields["detail"] = detail
    level = logging.INFO if sent and not detail else logging.WARNING
    logger.log(level, "task", extra={"fields": fields, "traceback": running.traceback})
