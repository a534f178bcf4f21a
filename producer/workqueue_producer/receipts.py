"""Who waits for a confirm: one caller for one message, or one caller for many.

The I/O thread settles; the caller's thread waits. No lock: every step is one that Python does at once.
"""

import threading
from concurrent.futures import Future

from workqueue_producer.errors import NotConfirmed
from workqueue_producer.task import Message


class Single:
    """One message; its future has the message id, or the error."""

    def __init__(self) -> None:
        self.future: Future[str] = Future()
        self.future.set_running_or_notify_cancel()  # nobody can take a message back that may be on its way

    def settle(self, message: Message, error: Exception | None) -> None:
        if error is None:
            self.future.set_result(message.message_id)
        else:
            failure = NotConfirmed(str(error), [message.task])
            failure.__cause__ = error
            self.future.set_exception(failure)


class Batch:
    """Many messages of one caller, who is told when the last one is settled."""

    def __init__(self) -> None:
        #: In the order of publishing; a dict for its order, the values mean nothing.
        self.pending: dict[Message, None] = {}
        self.failed: list[tuple[Message, Exception]] = []
        self.confirmed = 0
        #: Set when the caller adds no more and nothing is pending.
        self.done = threading.Event()
        self._complete = False

    def add(self, message: Message) -> None:
        self.pending[message] = None

    def settle(self, message: Message, error: Exception | None) -> None:
        if error is None:
            self.confirmed += 1
        else:
            self.failed.append((message, error))
        self.pending.pop(message, None)
        if self._complete and not self.pending:
            self.done.set()

    def complete(self) -> None:
        """The caller adds no more."""
        self._complete = True  # before the look at pending: settle() looks in the other order
        if not self.pending:
            self.done.set()

    def unconfirmed(self) -> list[Message]:
        """What failed and what is not settled, in no way confirmed."""
        return [*(message for message, _ in self.failed), *list(self.pending)]

    def oldest_published_at(self, otherwise: float) -> float:
        """When the first pending message was published (seconds, monotonic)."""
        pending = list(self.pending)[:1]  # a copy is made at once; walking the dict is not
        return pending[0].published_at if pending else otherwise

    def abandon(self) -> None:
        """The caller leaves: what is pending is not sent again."""
        for message in list(self.pending):
            message.abandoned = True
