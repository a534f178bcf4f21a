"""One caller's many messages, kept flowing at the width of the window, and the end of its patience.

Rule: time counts only while something is pending and nothing is confirmed, so a slow source of tasks is no failure.
"""

from collections.abc import Callable, Iterable
from time import monotonic

from workqueue_producer.errors import NotConfirmed
from workqueue_producer.outbox import Outbox
from workqueue_producer.receipts import Batch
from workqueue_producer.task import Message, Receipt, Task

#: Seconds between two looks at how it goes.
LOOK_SECONDS = 0.1

#: Hears how many are confirmed; an answer of False means: give up.
Progress = Callable[[int], bool | None]
MakeMessage = Callable[[bytes | Task, Receipt], Message]


class Bulk:
    """The work of Publisher.publish_many."""

    def __init__(
        self,
        make: MakeMessage,
        outbox: Outbox,
        trouble: Callable[[], str],
        timeout: float,
        progress: Progress,
    ) -> None:
        """`trouble` says why nothing is confirmed; `timeout` is in seconds without a confirm."""
        self._make = make
        self._outbox = outbox
        self._trouble = trouble
        self._timeout = timeout
        self._progress = progress
        self._batch = Batch()
        self._seen = 0
        self._seen_at = self._next_look = monotonic()

    def run(self, tasks: Iterable[bytes | Task]) -> int:
        try:
            for task in tasks:
                self._take_in(self._make(task, self._batch))
                if self._batch.failed:
                    break
            self._batch.complete()
            while not self._batch.done.wait(LOOK_SECONDS):
                self._look(monotonic())
        finally:
            self._batch.abandon()
        self._progress(self._batch.confirmed)
        if self._batch.failed:
            error = self._batch.failed[0][1]
            raise self._not_confirmed(str(error)) from error
        return self._batch.confirmed

    def _take_in(self, message: Message) -> None:
        self._batch.add(message)
        if message.published_at > self._next_look:
            self._look(message.published_at)
        while not self._outbox.offer(message, LOOK_SECONDS):
            if self._outbox.closed:
                raise self._not_confirmed("the publisher was closed")
            self._look(monotonic())

    def _look(self, now: float) -> None:
        """Tell the progress; raises NotConfirmed when there was none for too long, or nobody wants more."""
        self._next_look = now + LOOK_SECONDS
        confirmed = self._batch.confirmed
        if confirmed != self._seen:
            self._seen, self._seen_at = confirmed, now
        if self._progress(confirmed) is False:
            raise self._not_confirmed("given up")
        waiting_since = max(self._seen_at, self._batch.oldest_published_at(now))
        if now - waiting_since > self._timeout:
            raise self._not_confirmed(f"{self._trouble()} (no confirm for {self._timeout:g} s)")

    def _not_confirmed(self, reason: str) -> NotConfirmed:
        return NotConfirmed(reason, [message.task for message in self._batch.unconfirmed()])
