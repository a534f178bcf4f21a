"""Works on deliveries, one at a time in each task thread: arrival, handler, outcome, and the copy that it may need.

The rules are settlement's; this carries them out and says the Result.
"""

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from workqueue_broker.errors import MessageRefused

from workqueue_worker import logs, task_copy
from workqueue_worker.amqp import CopyRefused
from workqueue_worker.copies import Copies
from workqueue_worker.finished_tasks import FinishedTasks
from workqueue_worker.handlers import Handler
from workqueue_worker.health import Health
from workqueue_worker.holding import Holder, Holding, MustHandBack
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
    nears_the_limit,
    on_arrival,
    waits,
)
from workqueue_worker.task import Task

logger = logs.logger(__name__)


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
    #: The queue counts how often a task was returned: a quorum queue.
    counting_queue: bool


class Runner:
    """Turns a delivery into a Result. Safe from several threads."""

    def __init__(
        self,
        settings: RunnerSettings,
        handler: Handler,
        holder: Holder,
        copies: Copies,
        metrics: WorkerMetrics,
        health: Health,
    ) -> None:
        self._settings = settings
        self._handler = handler
        self._holder = holder
        self._holding = Holding(holder, copies, health)
        self._metrics = metrics
        self._finished = FinishedTasks()
        self._process_id = os.getpid()

    def run(self, running: Running) -> Result | None:
        """Do what this delivery needs; None when another thread has settled it."""
        try:
            return self._run(running)
        except MustHandBack as why:
            return self._handed_back(running, str(why))

    def _run(self, running: Running) -> Result | None:
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
            return self._count_again(running, arrival)
        if isinstance(arrival, Park):
            return self._park_on_arrival(running, arrival)
        return self._attempt(running)

    def _park_on_arrival(self, running: Running, park: Park) -> Result:
        if not waits(running.delivery.headers):  # else its last attempt was counted when it failed
            crashed = park.reason is DeadLetterReason.CRASHED
            self._metrics.failed[FailureReason.CRASHED if crashed else FailureReason.REJECTED].inc()
        return self._park(running, park, running.attempts_before)

    def settle(self, running: Running, outcome: Outcome) -> Result:
        """Carry out what follows from an outcome. The caller has claimed the delivery, whose attempt was begun."""
        self._metrics.busy_time.end()
        running.traceback = "" if isinstance(outcome, Finished) else outcome.traceback
        if running.stop_cause is StopCause.SHUTDOWN and not isinstance(outcome, Finished):
            return self._handed_back(running, "the worker must leave")
        self._observe(running, outcome)
        try:
            return self._carry_out(running, outcome)
        except MustHandBack as why:
            return self._handed_back(running, str(why))

    def _carry_out(self, running: Running, outcome: Outcome) -> Result:
        settlement = after(outcome, running.attempt, self._settings.policy)
        if isinstance(settlement, Park):
            return self._park(running, settlement, running.attempt)
        if isinstance(settlement, RetryLater) and isinstance(outcome, Failed):
            return self._retry(running, settlement, outcome)
        return self._done(running, "done")

    def _attempt(self, running: Running) -> Result | None:
        task = self._task(running)
        running.start()
        self._metrics.busy_time.begin()
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

    def _count_again(self, running: Running, arrival: CountAgain) -> Result | None:
        """Make the attempt that ended without a word count, in a queue that does not count, or not for long."""
        try:
            self._holding.publish(running, self._retry_copy(running, running.attempts_before))
        except CopyRefused:  # a full queue takes no copy: better uncounted than never
            return self._attempt(running)
        except MessageRefused as refused:
            if arrival.counted_by_broker:
                return self._attempt(running)
            park = Park(DeadLetterReason.CRASHED, f"it may have killed its worker, and cannot be counted: {refused}")
            return self._park(running, park, running.attempts_before)
        counter = self._metrics.requeued[RequeueCause.CRASH]
        return Result(running, Action.ACK, "counted", counter, "a worker had it and did not say how it ended")

    def _retry(self, running: Running, retry: RetryLater, outcome: Failed) -> Result:
        self._holder.hold(running.delivery, retry.delay_seconds)
        action, word = Action.ACK, "retry"
        try:
            self._holding.publish(running, self._retry_copy(running, running.attempt))
        except CopyRefused:  # a full queue takes no copy, but never refuses what it gave out
            action, word = Action.RETURN_FAILED, "returned"
        except MessageRefused as refused:  # the broker would not take the task as it is: it can only go back
            if not self._settings.counting_queue:  # where its attempts would have no end
                detail = f"{outcome.detail} (no further attempt: {refused})"
                return self._park(running, Park(DeadLetterReason.ATTEMPTS_EXHAUSTED, detail), running.attempt)
            action, word = Action.RETURN_FAILED, "returned"
        return Result(running, action, word, self._metrics.requeued[RequeueCause.RETRY], outcome.detail)

    def _park(self, running: Running, park: Park, attempts: int) -> Result:
        made, settings, delivery = self._made(attempts), self._settings, running.delivery
        dead_letter = task_copy.for_parking(delivery.headers, made, park, settings.queue, settings.dead_letter_queue)
        copies = [dead_letter]
        readable = not delivery.unread_headers
        if nears_the_limit(delivery.headers, redelivered=delivery.redelivered, readable=readable):
            copies.append(task_copy.for_waiting(dead_letter, settings.queue))
        if self._holding.insist(running, copies) is dead_letter:
            counter = self._metrics.dead_lettered[park.reason]
            return Result(running, Action.ACK, f"dead-lettered: {park.reason}", counter, park.detail)
        counter = self._metrics.requeued[RequeueCause.DEAD_LETTER]
        return Result(running, Action.ACK, f"waiting: {park.reason}", counter, park.detail)

    def _handed_back(self, running: Running, why: str) -> Result:
        counter = self._metrics.requeued[RequeueCause.SHUTDOWN]
        return Result(running, Action.HAND_BACK, "handed back", counter, why)

    def _retry_copy(self, running: Running, attempts: int) -> task_copy.Copy:
        return task_copy.for_retry(running.delivery.headers, self._made(attempts), self._settings.queue)

    def _made(self, attempts: int) -> task_copy.Attempts:
        return task_copy.Attempts(attempts, self._settings.worker, datetime.now(UTC))

    def _done(self, running: Running, outcome: str) -> Result:
        return Result(running, Action.ACK, outcome, self._metrics.acked, on_ack_lost=self._finished.add)
