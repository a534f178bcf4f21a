"""What can go wrong when a task is sent, by remedy.

ProducerError
├── NotConfirmed     the broker did not confirm these tasks: send them again, with the ids they have
└── PublisherClosed  this publisher sends nothing more: make a new one
"""

from collections.abc import Sequence

from workqueue_producer.task import Task

#: An error text names so many messages; all of them are in `tasks`.
NAMED = 5


class ProducerError(Exception):
    """Any failure to send a task."""


class NotConfirmed(ProducerError):
    """Tasks that are not known to be in the queue; one may be there all the same, so resend it under its id."""

    def __init__(self, reason: str, tasks: Sequence[Task]) -> None:
        ids = ", ".join(task.message_id or "(none)" for task in tasks[:NAMED])
        more = f" and {len(tasks) - NAMED} more" if len(tasks) > NAMED else ""
        plural = "message" if len(tasks) == 1 else "messages"
        super().__init__(f"{len(tasks)} {plural} not confirmed: {reason}; ids: {ids}{more}")
        self.reason = reason
        self.tasks = tuple(tasks)


class PublisherClosed(ProducerError):
    """The publisher was closed, its thread has failed, or it was made before a fork."""
