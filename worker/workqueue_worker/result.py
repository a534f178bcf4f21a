"""How a delivery ended: the value from which the settlement, the counter and the log line are made."""

import logging
from enum import Enum, auto
from typing import NamedTuple

from workqueue_worker import logs
from workqueue_worker.in_hand import InHand
from workqueue_worker.settlement import Ending

logger = logs.logger("workqueue_worker.tasks")


class Action(Enum):
    """What is sent to the broker."""

    ACK = auto()
    #: Returned, and no fault of the task's.
    HAND_BACK = auto()
    #: Returned as failed.
    RETURN_FAILED = auto()


class Result(NamedTuple):  # made for every task, as Delivery
    """What became of a delivery."""

    in_hand: InHand
    action: Action
    #: What it is counted as.
    ending: Ending
    #: In one word or two, for the log.
    outcome: str
    detail: str = ""


def log_task(in_hand: InHand, outcome: str, detail: str = "", *, sent: bool) -> None:
    """Write the one log line of a delivery. `sent`: its settlement went out, else the broker gives it out again."""
    delivery = in_hand.delivery
    fields: dict[str, object] = {
        "id": delivery.message_id,
        "attempt": in_hand.attempt,
        "seconds": round(in_hand.seconds, 3),
        "outcome": outcome if sent else f"{outcome}, ack lost",
    }
    if delivery.message_id is None and delivery.described.correlation_id is not None:
        fields["correlation_id"] = delivery.described.correlation_id  # Celery sets it in place of an id
    if traceparent := delivery.headers.get("traceparent"):
        fields["traceparent"] = traceparent
    if detail:
        fields["detail"] = detail
    level = logging.INFO if sent and not detail else logging.WARNING
    logger.log(level, "task", extra={"fields": fields, "traceback": in_hand.traceback})
