"""One run of new-task: sends what the source has, keeps what was not confirmed, and sums up."""

import sys
import time
from collections.abc import Iterable
from itertools import chain

from workqueue_broker.address import BrokerAddress
from workqueue_broker.errors import BrokerError, BrokerUnavailable, InvalidAddress, MessageRefused

from workqueue_producer.errors import NotConfirmed, PublisherClosed
from workqueue_producer.interruption import Interruption
from workqueue_producer.options import Options
from workqueue_producer.progress import Progress
from workqueue_producer.publisher import Publisher
from workqueue_producer.source import Source
from workqueue_producer.summary import Summary
from workqueue_producer.task import Task
from workqueue_producer.task_file import as_line


class NewTaskRun:
    """One run; `confirmed` counts up."""

    def __init__(self, options: Options) -> None:
        """Handles signals from now on; raises OSError or BadTaskFile when the input cannot be read."""
        self._options = options
        self._interruption = Interruption()
        self._interruption.listen()
        self._source = Source(options, self._interruption)
        total = self._source.total()
        self._progress = Progress(total, sys.stderr) if total != 1 else None
        self._confirmed = 0
        self._last_confirmed_at: float | None = None

    def run(self, address: BrokerAddress) -> Summary:
        """Send until the source ends, the patience does, or a signal comes; raises InvalidAddress."""
        started = time.monotonic()
        try:
            failure = self._publish(address)
        except InvalidAddress:  # nothing was sent
            if self._options.resend:
                self._keep(self._source.rest())
            raise
        seconds = time.monotonic() - started
        unconfirmed = self._keep(chain(failure.tasks if failure else (), self._source.rest()))
        clock = time.time() - time.monotonic()  # one for both times, so that a clock that was set changes no difference
        cause = failure.__cause__ if failure else None
        return Summary(
            queue=self._options.queue.name,
            queue_type=self._options.queue.type,
            confirmed=self._confirmed,
            unconfirmed=unconfirmed,
            seconds=seconds,
            first_publish_time=_unix_time(self._source.first_taken_at, clock),
            last_confirm_time=_unix_time(self._last_confirmed_at, clock),
            error="; ".join(filter(None, (failure.reason if failure else None, self._source.error))) or None,
            rest_unread=self._source.is_unread,
            refused=isinstance(cause, BrokerError) and not isinstance(cause, BrokerUnavailable | MessageRefused),
            signal=self._interruption.signal,
            unconfirmed_file=self._options.unconfirmed_file if unconfirmed else None,
        )

    def _publish(self, address: BrokerAddress) -> NotConfirmed | None:
        options = self._options
        try:
            with Publisher(address, options.queue, options.publisher) as publisher:
                try:
                    publisher.publish_many(self._source, timeout=options.timeout, progress=self._on_progress)
                finally:
                    self._last_confirmed_at = publisher.last_confirmed_at
        except NotConfirmed as failure:
            return failure
        except PublisherClosed as error:  # its thread failed before the first task
            return NotConfirmed(str(error), ())
        finally:
            if self._progress is not None:
                self._progress.end()
        return None

    def _on_progress(self, confirmed: int) -> bool:
        self._confirmed = confirmed
        if self._progress is not None:
            self._progress.show(confirmed)
        return not self._interruption.hurry

    def _keep(self, tasks: Iterable[Task]) -> int:
        """Write down what must be sent again; how many."""
        remaining = list(tasks)
        taken = self._source.taken_files
        try:
            return self._source.keep(remaining)
        except OSError as error:
            problem = f"new-task: cannot write {self._options.unconfirmed_file}: {error.strerror}"
            if taken:
                stays = " and ".join(map(str, taken))
                print(f"{problem}; all tasks that were resent stay in {stays}", file=sys.stderr)
                return len(remaining)
            print(f"{problem}; here:", file=sys.stderr)  # better on the terminal than nowhere
            for task in remaining:
                sys.stderr.write(as_line(task).decode())
            return len(remaining)


def _unix_time(moment: float | None, clock: float) -> float | None:
    """The Unix time of a moment on the monotonic clock, which starts at the Unix time `clock`."""
    return None if moment is None else clock + moment
