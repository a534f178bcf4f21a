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
from workqueue_worker.in_hand import InHand, StopCause
from workqueue_worker.metrics import WorkerMetrics
from workqueue_worker.result import Action, Result
from workqueue_worker.settings import Settings
from workqueue_worker.settlement import (
    Ack,
    CountAgain,
    DeadLettered,
    DeadLetterReason,
    Done,
    Failed,
    FailureReason,
    Finished,
    Outcome,
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

    def run(self, in_hand: InHand) -> Result | None:
        """Do what this delivery needs; None when another thread has settled it."""
        try:
            return self._run(in_hand)
        except MustHandBack as why:
            return self._handed_back(in_hand, str(why))

    def _run(self, in_hand: InHand) -> Result | None:
        arrival = on_arrival(in_hand.delivery, in_hand.attempts_before, self._policy, self._finished.take)
        if isinstance(arrival, Ack):
            return self._done(in_hand, "already done")
        if isinstance(arrival, CountAgain):
            return self._count_again(in_hand, arrival)
        if isinstance(arrival, DeadLettered):
            return self._dead_letter_on_arrival(in_hand, arrival)
        return self._attempt(in_hand)

    def _dead_letter_on_arrival(self, in_hand: InHand, verdict: DeadLettered) -> Result:
        if not waits(in_hand.delivery.headers):  # else its last attempt was counted when it failed
            crashed = verdict.reason is DeadLetterReason.CRASHED
            self._metrics.failed[FailureReason.CRASHED if crashed else FailureReason.REJECTED].inc()
        return self._dead_letter(in_hand, verdict, in_hand.attempts_before)

    def settle(self, in_hand: InHand, outcome: Outcome) -> Result:
        """Carry out what follows from an outcome. The caller has claimed the delivery, whose attempt was begun."""
        self._metrics.busy_time.end()
        in_hand.traceback = "" if isinstance(outcome, Finished) else outcome.traceback
        if in_hand.stop_cause is StopCause.SHUTDOWN and not isinstance(outcome, Finished):
            return self._handed_back(in_hand, "the worker must leave")
        self._observe(in_hand, outcome)
        try:
            return self._carry_out(in_hand, outcome)
        except MustHandBack as why:
            return self._handed_back(in_hand, str(why))

    def _carry_out(self, in_hand: InHand, outcome: Outcome) -> Result:
        settlement = after(outcome, in_hand.attempt, self._policy)
        if isinstance(settlement, DeadLettered):
            return self._dead_letter(in_hand, settlement, in_hand.attempt)
        if isinstance(settlement, RetryLater) and isinstance(outcome, Failed):
            return self._retry(in_hand, settlement, outcome)
        return self._done(in_hand, "done")

    def _attempt(self, in_hand: InHand) -> Result | None:
        task = self._task(in_hand)
        in_hand.start()
        self._metrics.busy_time.begin()
        if task.attempt == 1 and task.enqueued_time is not None:
            self._metrics.task_wait.observe(max(0.0, time.time() - task.enqueued_time))
        outcome = self._handler.run(in_hand.delivery.body, task)
        if os.getpid() != self._process_id:
            os._exit(0)  # a handler forked, and this is the child: the delivery is the parent's
        if not in_hand.claim():
            logger.warning("a task ended after its time", extra={"fields": {"id": task.id}})
            return None
        if in_hand.stop_cause is StopCause.TIME_LIMIT:
            outcome = self.timed_out(outcome)
        return self.settle(in_hand, outcome)

    def timed_out(self, end: Outcome | None = None) -> Failed:
        """The outcome of an attempt that took too long; `end`: how its handler ended when it was stopped."""
        trace = "" if end is None or isinstance(end, Finished) else end.traceback
        return Failed(FailureReason.TIMEOUT, f"took longer than {self._settings.task_timeout:g} s", traceback=trace)

    def _task(self, in_hand: InHand) -> Task:
        delivery = in_hand.delivery
        return Task(
            id=delivery.message_id,
            queue=self._settings.queue,
            attempt=in_hand.attempt,
            redelivered=delivery.redelivered,
            headers=delivery.headers,
            content_type=delivery.content_type,
            enqueued_time=delivery.enqueued_time,
            cancelled=in_hand.cancelled,
            **delivery.described._asdict(),
        )

    def _observe(self, in_hand: InHand, outcome: Outcome) -> None:
        self._metrics.task_duration.observe(in_hand.seconds)
        if isinstance(outcome, Failed):
            self._metrics.failed[outcome.reason].inc()
        elif isinstance(outcome, Rejected):
            self._metrics.failed[FailureReason.REJECTED].inc()

    def _count_again(self, in_hand: InHand, arrival: CountAgain) -> Result | None:
        """Count the attempt that ended without a result, in a queue that does not count, or not for long."""
        try:
            self._holding.publish(in_hand, self._retry_copy(in_hand, in_hand.attempts_before))
        except CopyRefused:  # a full queue takes no copy: better uncounted than never
            return self._attempt(in_hand)
        except MessageRefused as refused:
            if arrival.counted_by_broker:
                return self._attempt(in_hand)
            verdict = DeadLettered(
                DeadLetterReason.CRASHED, f"it may have killed its worker, and cannot be counted: {refused}"
            )
            return self._dead_letter(in_hand, verdict, in_hand.attempts_before)
        detail = "a worker had it and did not report a result"
        return Result(in_hand, Action.ACK, RequeueCause.CRASH, "counted", detail)

    def _retry(self, in_hand: InHand, retry: RetryLater, outcome: Failed) -> Result:
        self._holding.pause(in_hand, retry.delay_seconds)
        action, word = Action.ACK, "retry"
        try:
            self._holding.publish(in_hand, self._retry_copy(in_hand, in_hand.attempt))
        except CopyRefused:  # a full queue takes no copy, but never refuses what it gave out
            action, word = Action.RETURN_FAILED, "returned"
        except MessageRefused as refused:  # the broker would not take the task as it is: it can only go back
            if not self._settings.counting_queue:  # where its attempts would have no end
                detail = f"{outcome.detail} (no further attempt: {refused})"
                return self._dead_letter(
                    in_hand, DeadLettered(DeadLetterReason.ATTEMPTS_EXHAUSTED, detail), in_hand.attempt
                )
            action, word = Action.RETURN_FAILED, "returned"
        return Result(in_hand, action, RequeueCause.RETRY, word, outcome.detail)

    def _dead_letter(self, in_hand: InHand, verdict: DeadLettered, attempts: int) -> Result:
        made, delivery = self._made(attempts), in_hand.delivery
        queue, dead_letter_queue = self._settings.queue, self._settings.dead_letter_queue
        dead_letter = task_copy.for_dead_letter(delivery.headers, made, verdict, queue, dead_letter_queue)
        copies = [dead_letter]
        if nears_the_limit(delivery):
            copies.append(task_copy.for_waiting(dead_letter, queue))
        if self._holding.insist(in_hand, copies) is dead_letter:
            return Result(in_hand, Action.ACK, verdict.reason, f"dead-lettered: {verdict.reason}", verdict.detail)
        return Result(in_hand, Action.ACK, RequeueCause.DEAD_LETTER, f"waiting: {verdict.reason}", verdict.detail)

    def _handed_back(self, in_hand: InHand, why: str) -> Result:
        return Result(in_hand, Action.HAND_BACK, RequeueCause.SHUTDOWN, "handed back", why)

    def _retry_copy(self, in_hand: InHand, attempts: int) -> task_copy.Copy:
        return task_copy.for_retry(in_hand.delivery.headers, self._made(attempts), self._settings.queue)

    def _made(self, attempts: int) -> task_copy.Attempts:
        return task_copy.Attempts(attempts, self._worker, datetime.now(UTC))

    def _done(self, in_hand: InHand, outcome: str) -> Result:
        return Result(in_hand, Action.ACK, Done.DONE, outcome)
