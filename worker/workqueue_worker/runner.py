"""Works on deliveries, one at a time in each task thread: arrival, handler, outcome, and the copy that it may need.

The rules are settlement's; this carries them out and returns the Result.
"""

import os
import time
from datetime import UTC, datetime

from workqueue_broker.errors import MessageRefused

from workqueue_worker import logs, task_copy
from workqueue_worker.amqp import CopyRefused
from workqueue_worker.finished_tasks import FinishedTasks
from workqueue_worker.handlers import Handler
from workqueue_worker.holding import Holding, MustHandBack
from workqueue_worker.metrics import WorkerMetrics
from workqueue_worker.result import Action, Result
from workqueue_worker.running import Running, StopCause
from workqueue_worker.settings import Settings
from workqueue_worker.settlement import (
    Ack,
    CountAgain,
    DeadLetterReason,
    Done,
    Failed,
    FailureReason,
    Finished,
    Outcome,
    Park,
    Rejected,
    RequeueCause,
    RetryLater,
    after,
    nears_the_limit,
    on_arrival,
    waits,
)
from workqueue_worker.task import Task

logger = logs.logger(__name__)


class Runner:
    """Turns a delivery into a Result. Safe from several threads."""

    def __init__(
        self,
        settings: Settings,
        worker: str,
        handler: Handler,
        holding: Holding,
        metrics: WorkerMetrics,
        finished: FinishedTasks,
    ) -> None:
        """`worker`: the name of this worker, for dead letters."""
        self._settings = settings
        self._policy = settings.retry_policy
        self._worker = worker
        self._handler = handler
        self._holding = holding
        self._metrics = metrics
        self._finished = finished
        self._process_id = os.getpid()

    def run(self, running: Running) -> Result | None:
        """Do what this delivery needs; None when another thread has settled it."""
        try:
            return self._run(running)
        except MustHandBack as why:
            return self._handed_back(running, str(why))

    def _run(self, running: Running) -> Result | None:
        arrival = on_arrival(running.delivery, running.attempts_before, self._policy, self._finished.take)
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
        settlement = after(outcome, running.attempt, self._policy)
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
        detail = "a worker had it and did not say how it ended"
        return Result(running, Action.ACK, RequeueCause.CRASH, "counted", detail)

    def _retry(self, running: Running, retry: RetryLater, outcome: Failed) -> Result:
        self._holding.pause(running, retry.delay_seconds)
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
        return Result(running, action, RequeueCause.RETRY, word, outcome.detail)

    def _park(self, running: Running, park: Park, attempts: int) -> Result:
        made, settings, delivery = self._made(attempts), self._settings, running.delivery
        dead_letter = task_copy.for_parking(delivery.headers, made, park, settings.queue, settings.dead_letter_queue)
        copies = [dead_letter]
        if nears_the_limit(delivery):
            copies.append(task_copy.for_waiting(dead_letter, settings.queue))
        if self._holding.insist(running, copies) is dead_letter:
            return Result(running, Action.ACK, park.reason, f"dead-lettered: {park.reason}", park.detail)
        return Result(running, Action.ACK, RequeueCause.DEAD_LETTER, f"waiting: {park.reason}", park.detail)

    def _handed_back(self, running: Running, why: str) -> Result:
        return Result(running, Action.HAND_BACK, RequeueCause.SHUTDOWN, "handed back", why)

    def _retry_copy(self, running: Running, attempts: int) -> task_copy.Copy:
        return task_copy.for_retry(running.delivery.headers, self._made(attempts), self._settings.queue)

    def _made(self, attempts: int) -> task_copy.Attempts:
        return task_copy.Attempts(attempts, self._worker, datetime.now(UTC))

    def _done(self, running: Running, outcome: str) -> Result:
        return Result(running, Action.ACK, Done.DONE, outcome)
