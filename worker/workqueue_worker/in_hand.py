"""A delivery on its way through this worker: from its receipt to its settlement. Shared by the threads that care.

The one mutable record of the worker; each field names its writer.
"""

import threading
import time
from enum import Enum, auto

from workqueue_worker.cancellation import Cancellation
from workqueue_worker.delivery import Delivery
from workqueue_worker.settlement import attempts_before


class StopCause(Enum):
    """Why an attempt must end."""

    TIME_LIMIT = auto()
    SHUTDOWN = auto()


class InHand:
    """One delivery in progress."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        #: Unique among the deliveries of this process.
        self.key = (delivery.epoch, delivery.delivery_tag)
        #: How many attempts were made at this task before this one.
        self.attempts_before = attempts_before(delivery)
        #: Set when the attempt is to end, by the supervisor.
        self.cancelled = Cancellation()
        self.stop_cause: StopCause | None = None
        #: Of the exception that ended the attempt, for the log; written by the thread that claims the outcome.
        self.traceback = ""
        #: Monotonic times, written by the task's thread, and by the thread that claims the outcome.
        self._started_at: float | None = None
        self._ended_at: float | None = None
        self._claim = threading.Lock()

    @property
    def attempt(self) -> int:
        """Number of this attempt; 1 is the first."""
        return self.attempts_before + 1

    def stop(self, cause: StopCause) -> None:
        """Ask the attempt to end, for the first cause only."""
        if self.stop_cause is None:
            self.stop_cause = cause
            self.cancelled.set()

    def start(self) -> None:
        """The handler gets the task now."""
        self._started_at = time.monotonic()

    def seconds_so_far(self, now: float) -> float:
        """How long the handler has had the task; 0 before it started."""
        return 0.0 if self._started_at is None else now - self._started_at

    @property
    def seconds(self) -> float:
        """How long the handler had the task; meant for its end."""
        return self.seconds_so_far(self._ended_at or time.monotonic())

    @property
    def attempt_is_over(self) -> bool:
        """True once a thread has claimed the right to report the outcome."""
        return self._claim.locked()

    def claim(self) -> bool:
        """Claim the right to report the outcome; only the first caller gets True."""
        if not self._claim.acquire(blocking=False):
            return False
        self._ended_at = time.monotonic()
        return True
