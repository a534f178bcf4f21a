"""What a handler sees: the task, and the two exceptions with which it may end. The public names of this package.

A handler is called as handler(body, task). It returns: the task is done. It raises Reject: the task goes to the
dead-letter queue. It raises Retry or anything else: the task is tried again, up to the attempts limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from workqueue_worker.cancellation import Cancellation


class Retry(Exception):  # a request, not an error
    """Try this task again after `delay`, at most the worker's retry-max-delay; None: its own backoff.

    A number is seconds. Retry(30) means delay=30, and Retry(timedelta(minutes=1)) delay=60.
    """

    def __init__(self, reason: str | float | timedelta = "", *, delay: float | timedelta | None = None) -> None:
        if isinstance(reason, int | float | timedelta) and delay is None:
            super().__init__("")
            delay = reason
        else:
            super().__init__(reason)
        self.delay = delay.total_seconds() if isinstance(delay, timedelta) else None if delay is None else float(delay)


class Reject(Exception):  # a request, not an error
    """Never try this task again: publish it to the dead-letter queue with this reason."""


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt at one message. All fields have defaults, so a test of a handler may call it with `Task()`."""

    #: The producer's message id; None when it gave none. Stable over retries and redeliveries.
    id: str | None = None
    queue: str = ""
    #: 1 for the first attempt.
    attempt: int = 1
    #: True when the broker gave this message to a consumer before; the work may have been done already.
    redelivered: bool = False
    #: The message's headers; values are what AMQP's field tables hold.
    headers: Mapping[str, object] = field(default_factory=dict)
    content_type: str | None = None
    #: Unix time in seconds at which the producer published it; None when it set none.
    enqueued_time: float | None = None
    #: The message's other properties, by their names in AMQP; None where the producer gave none.
    content_encoding: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    type: str | None = None
    app_id: str | None = None
    #: Checked by the broker against the producer's login.
    user_id: str | None = None
    #: Milliseconds, as text: so AMQP has it.
    expiration: str | None = None
    priority: int | None = None
    #: Set when the attempt is to end: time limit, or the worker must leave. A handler that looks at it ends gracefully.
    cancelled: Cancellation = field(default_factory=Cancellation, compare=False)

    @property
    def enqueued_at(self) -> datetime | None:
        """The same as a date with a time zone."""
        return None if self.enqueued_time is None else datetime.fromtimestamp(self.enqueued_time, UTC)

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context of the producer, when the message has it."""
        value = self.headers.get("traceparent")
        return value if isinstance(value, str) else None
