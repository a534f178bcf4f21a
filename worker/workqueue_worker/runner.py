"""Works on deliveries, one at a time in each task thread: arrival, handler, outcome, and the copy that it may need.

The rules are settlement's; this carries them out and says the Result.
"""

import itertools
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from workqueue_broker.backoff import full_jitter
from workqueue_broker.errors import BrokerError

from workqueue_worker import logs, task_copy
from workqueue_worker.amqp import CopyRefused
from workqueue_worker.copies import Copies
from workqueue_worker.delivery import Delivery
from workqueue_worker.finished_tasks import FinishedTasks
from workqueue_worker.handlers import Handler
from workqueue_worker.health import Health
from workqueue_worker.metrics import RequeueCause, WorkerMetrics
from workqueue_worker.result import Action, Result
from workqueue_worker.running import Running, StopCause
from workqueue_worker.settlement import (
    Ack,
    CountAgain,
    DeadLetterReason,
    Failed,
    FailureReason,
    Finished,
    Outcome,
    Park,
    Rejected,
    RetryLater,
    RetryPolicy,
    after,
    on_arrival,
)
from workqueue_worker.task import Task

logger = logs.logger(__name__)

#: Seconds; the longest wait between two attempts at a copy.
COPY_WAIT_SECONDS = 10.0


class Deliveries(Protocol):
    """What the runner asks about a delivery in hand: consumer.Consumer."""

    def is_stale(self, delivery: Delivery) -> bool: ...
    def hold(self, delivery: Delivery, seconds: float, *, also_when_stopping: bool = False) -> None: ...


@dataclass(frozen=True)
class RunnerSettings:
    """What the runner must know."""

    queue: str
    dead_letter_queue: str
    policy: RetryPolicy
    #: Seconds.
    task_timeout: float
    #: The name of this worker, for dead letters.
    worker: str


class Runner:
    """Turns a delivery into a Result. Safe from several threads."""

    def __init__(
        self,
        settings: RunnerSettings,
        handler: Handler,
        deliveries: Deliveries,
        copies: Copies,
        metrics: WorkerMetrics,
        health: Health,
    ) -> None:
        self._settings = settings
        self._handler = handler
        self._deliveries = deliveries
        self._copies = copies
        self._metrics = metrics
        self._health = health
        self._finished = FinishedTasks()
        self._process_id = os.getpid()

    def run(self, running: Running) -> Result | None:
        """Do what this delivery needs; None when somebody else has answered for it meanwhile."""
        delivery = running.delivery
        came_again = delivery.redelivered or running.attempts_before > 0
        arrival = on_arrival(
            delivery.headers,
            redelivered=delivery.redelivered,
            done_before=came_again and self._finished.take(delivery),
            policy=self._settings.policy,
            readable=not delivery.unread_headers,
        )
        if isinstance(arrival, Ack):
            return self._done(running, "already done")
        if isinstance(arrival, CountAgain):
            return self._count_again(running)
        if isinstance(arrival, Park):
            crashed = arrival.reason is DeadLetterReason.CRASHED
            self._metrics.failed[FailureReason.CRASHED if crashed else FailureReason.REJECTED].inc()
            return self._park(running, arrival, running.attempts_before)
        return self._attempt(running)

    def settle(self, running: Running, outcome: Outcome) -> Result:
        """Carry out what follows from an outcome. The caller has claimed the delivery."""
        running.traceback = "" if isinstance(outcome, Finished) else outcome.traceback
        if running.stop_cause is StopCause.SHUTDOWN and not isinstance(outcome, Finished):
            counter = self._metrics.requeued[RequeueCause.SHUTDOWN]
            return Result(running, Action.HAND_BACK, "handed back", counter, "the worker must leave")
        self._observe(running, outcome)
        settlement = after(outcome, running.attempt, self._settings.policy)
        if isinstance(settlement, Park):
            return self._park(running, settlement, running.attempt)
        if isinstance(settlement, RetryLater):
            return self._retry(running, settlement, outcome)
        return self._done(running, "done")

    def _attempt(self, running: Running) -> Result | None:
        task = self._task(running)
        running.start()
        if task.attempt == 1 and task.enqueued_time is not None:
            self._metrics.task_wait.observe(max(0.0, time.time() - task.enqueued_time))
        outcome = self._handler.run(running.delivery.body, task)
        if os.getpid() != self._process_id:
            os._exit(0)  # a handler forked, and this is the child: the delivery is the parent's
        if not running.claim():
            logger.warning("a task ended after its time", extra={"fields": {"id": task.id}})
            return None
        if running.stop_cause is StopCause.TIME_LIMIT:
            outcome = self.timed_out(outcome)
        return self.settle(running, outcome)

    def timed_out(self, end: Outcome | None = None) -> Failed:
        """The outcome of an attempt that took too long; `end`: how its handler ended when it was stopped."""
        trace = "" if end is None or isinstance(end, Finished) else end.traceback
        return Failed(FailureReason.TIMEOUT, f"took longer than {self._settings.task_timeout:g} s", traceback=trace)

    def _task(self, running: Running) -> Task:
        delivery = running.delivery
        return Task(
            id=delivery.message_id,
            queue=self._settings.queue,
            attempt=running.attempt,
            redelivered=delivery.redelivered,
            headers=delivery.headers,
            content_type=delivery.content_type,
            enqueued_time=delivery.enqueued_time,
            cancelled=running.cancelled,
            **delivery.described._asdict(),
        )

    def _observe(self, running: Running, outcome: Outcome) -> None:
        self._metrics.task_duration.observe(running.seconds)
        if isinstance(outcome, Failed):
            self._metrics.failed[outcome.reason].inc()
        elif isinstance(outcome, Rejected):
            self._metrics.failed[FailureReason.REJECTED].inc()

    def _count_again(self, running: Running) -> Result | None:
        """Make the attempt that ended without a word count, in a queue that does not count."""
        try:
            self._copy_until_confirmed(running, self._retry_copy(running, running.attempts_before))
        except CopyRefused:
            return self._attempt(running)  # a full queue takes no copy: better uncounted than never
        counter = self._metrics.requeued[RequeueCause.CRASH]
        return Result(running, Action.ACK, "counted", counter, "a worker had it and did not say how it ended")

    def _retry(self, running: Running, retry: RetryLater, outcome: Outcome) -> Result:
        self._deliveries.hold(running.delivery, retry.delay_seconds)
        detail = outcome.detail if isinstance(outcome, Failed) else ""
        action, word = Action.ACK, "retry"
        try:
            self._copy_until_confirmed(running, self._retry_copy(running, running.attempt))
        except CopyRefused:  # a full queue takes no copy, but never refuses what it gave out
            action, word = Action.RETURN_FAILED, "returned"
        return Result(running, action, word, self._metrics.requeued[RequeueCause.RETRY], detail)

    def _park(self, running: Running, park: Park, attempts: int) -> Result:
        made, settings = self._made(attempts), self._settings
        headers = running.delivery.headers
        copy = task_copy.for_parking(headers, made, park, settings.queue, settings.dead_letter_queue)
        self._copy_until_confirmed(running, copy, insist=True)
        counter = self._metrics.dead_lettered[park.reason]
        return Result(running, Action.ACK, f"dead-lettered: {park.reason}", counter, park.detail)

    def _retry_copy(self, running: Running, attempts: int) -> task_copy.Copy:
        return task_copy.for_retry(running.delivery.headers, self._made(attempts), self._settings.queue)

    def _made(self, attempts: int) -> task_copy.Attempts:
        return task_copy.Attempts(attempts, self._settings.worker, datetime.now(UTC))

    def _copy_until_confirmed(self, running: Running, copy: task_copy.Copy, *, insist: bool = False) -> None:
        """Return when the copy is confirmed, or when the delivery is not ours any more.

        Until then the original stays in hand: never lost. Raises CopyRefused, unless told to insist.
        """
        text = f"the broker has not yet confirmed its copy to queue {copy.queue!r}"  # an alarm takes long
        self._health.hold(running.key, text)
        try:
            for failures in itertools.count(1):
                if self._deliveries.is_stale(running.delivery):
                    return
                try:
                    self._copies.publish(copy, running.delivery)
                except BrokerError as error:
                    if isinstance(error, CopyRefused) and not insist:
                        raise
                    self._wait_with(running, error, failures)
                else:
                    return
        finally:
            self._health.release(running.key)

    def _wait_with(self, running: Running, error: BrokerError, failures: int) -> None:
        logger.warning("a failed task is held, as no copy can be made: %s", error)
        self._health.hold(running.key, str(error))
        delay = full_jitter(failures, base=0.5, cap=COPY_WAIT_SECONDS)
        self._deliveries.hold(running.delivery, delay, also_when_stopping=True)

    def _done(self, running: Running, outcome: str) -> Result:
        return Result(running, Action.ACK, outcome, self._metrics.acked, on_ack_lost=self._finished.add)
