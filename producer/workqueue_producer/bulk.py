"""One caller's many messages, kept flowing at the width of the window, and the end of its patience.

Rule: time counts only while something is pending and nothing is confirmed, so a slow source of tasks is no failure.
Whatever ends it early, the caller gets the tasks that are not confirmed.
"""

from collections.abc import Callable, Iterable
from time import monotonic

from workqueue_producer.errors import NotConfirmed, PublisherClosed
from workqueue_producer.outbox import Outbox
from workqueue_producer.receipts import Batch
from workqueue_producer.task import Message, Receipt, Task

#: Seconds between two looks at how it goes.
LOOK_SECONDS = 0.1

#: Called with the number of confirmed tasks; False means: give up.
Progress = Callable[[int], bool | None]
MakeMessage = Callable[[bytes | Task, Receipt], Message]


class _GivenUp(Exception):
    """No confirm for too long, or progress() returned False; not NotConfirmed, which the caller's tasks may raise."""


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
        """`trouble` returns why nothing is confirmed; `timeout` is in seconds without a confirm."""
        self._make = make
        self._outbox = outbox
        self._trouble = trouble
        self._timeout = timeout
        self._progress = progress
        self._batch = Batch()
        #: Was taken and cannot be made a message.
        self._unsendable: Task | None = None
        self._seen = 0
        self._seen_at = self._next_look = monotonic()

    def run(self, tasks: Iterable[bytes | Task]) -> int:
        error: Exception | None = None
        try:
            error = self._take_all(tasks)
            self._batch.complete()
            while not self._batch.done.wait(LOOK_SECONDS):
                self._look(monotonic())
            self._progress(self._batch.confirmed)
        except _GivenUp as end:
            raise self._not_confirmed(str(end)) from error
        except Exception as failure:  # of `progress`
            raise self._not_confirmed(str(failure)) from failure
        except BaseException as end:  # Ctrl+C, for one: it stays what it is
            end.add_note(str(self._not_confirmed(type(end).__name__)))
            raise
        finally:
            self._outbox.abandon(list(self._batch.pending))
        if self._batch.failed:
            error = self._batch.failed[0][1]
        if error is not None:
            raise self._not_confirmed(str(error)) from error
        return self._batch.confirmed

    def _take_all(self, tasks: Iterable[bytes | Task]) -> Exception | None:
        """Until they end or one fails; the error of the tasks themselves, as what was taken may still be confirmed."""
        try:
            for task in tasks:
                self._take_in(self._message(task))
                if self._batch.failed:
                    break
        except _GivenUp:
            raise
        except Exception as error:  # noqa: BLE001 - the tasks are the caller's, and may raise anything
            return error
        return None

    def _message(self, task: bytes | Task) -> Message:
        try:
            return self._make(task, self._batch)
        except Exception:
            if isinstance(task, bytes | Task):
                self._unsendable = task if isinstance(task, Task) else Task(task)
            raise

    def _take_in(self, message: Message) -> None:
        self._batch.add(message)
        if message.published_at > self._next_look:
            self._look(message.published_at)
        while not self._outbox.offer(message, LOOK_SECONDS):
            if self._outbox.closed:
                self._batch.settle(message, PublisherClosed("the publisher was closed"))
                return
            self._look(monotonic())

    def _look(self, now: float) -> None:
        """Report the progress; raises _GivenUp when there was none for too long, or progress() returned False."""
        self._next_look = now + LOOK_SECONDS
        confirmed = self._batch.confirmed
        if confirmed != self._seen:
            self._seen, self._seen_at = confirmed, now
        if self._progress(confirmed) is False:
            raise _GivenUp("given up")
        waiting_since = max(self._seen_at, self._batch.oldest_published_at(now))
        if now - waiting_since > self._timeout:
            raise _GivenUp(f"{self._trouble()} (no confirm for {self._timeout:g} s)")

    def _not_confirmed(self, reason: str) -> NotConfirmed:
        unsendable = [self._unsendable] if self._unsendable is not None else []
        return NotConfirmed(reason, [*(message.task for message in self._batch.unconfirmed()), *unsendable])
