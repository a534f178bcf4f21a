"""The running worker: its threads, its signals, and its time limits. The supervisor is the main thread.

It never touches the broker, so that no broker can keep it from enforcing a time limit or the grace period.
"""

import contextlib
import functools
import itertools
import queue
import signal
import threading
import time
from collections.abc import Callable

from workqueue_worker import logs
from workqueue_worker.consumer import Consumer
from workqueue_worker.copy_publisher import CopyPublisher
from workqueue_worker.health import Health
from workqueue_worker.in_hand import InHand, StopCause
from workqueue_worker.keeper import Keeper
from workqueue_worker.metrics import WorkerMetrics
from workqueue_worker.process_end import end_now
from workqueue_worker.runner import Runner
from workqueue_worker.settings import Settings
from workqueue_worker.shutdown import EXIT_FORCED, Shutdown, Step

logger = logs.logger(__name__)

#: Seconds between two looks at the clock.
LOOK_SECONDS = 0.25
#: Seconds that a handler has to end after its time limit; then the worker goes on without it.
ABANDON_SECONDS = 5.0
#: Seconds for an orderly end of the connections.
CLOSE_SECONDS = 5.0
FORCED_CLOSE_SECONDS = 1.5
EXIT_BUG = 1


class Supervisor:
    """Runs the worker until it must leave."""

    def __init__(
        self,
        settings: Settings,
        consumer: Consumer,
        keeper: Keeper,
        runner: Runner,
        copies: CopyPublisher,
        metrics: WorkerMetrics,
        health: Health,
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._keeper = keeper
        self._runner = runner
        self._copies = copies
        self._metrics = metrics
        self._health = health
        self._slots_were_held = False
        self._shutdown = Shutdown()
        self._stopped_tasks = False
        #: What the supervisor is to do at once; a SimpleQueue may be put to from a signal handler.
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._numbers = itertools.count(1)  # next() is one step, so the tasks' threads may share it
        self._keeping = self._thread("connection", keeper.run)
        self._tasks = [self._thread(f"task-{number}", self._work) for number in range(1, settings.concurrency + 1)]

    def run(self) -> int:
        """Work until the worker must leave; returns the exit code. Ends the process when a thread cannot be stopped."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        for thread in (self._keeping, *self._tasks):
            thread.start()
        while (step := self._next_step()) not in (Step.LEAVE, Step.HAND_BACK):
            self._act(step)
            self._watch_time_limits()
            self._watch_slots()
            self._wait()
        return self._leave(step)

    def _next_step(self) -> Step:
        receiving = self._consumer.receiving  # first: the second look sees a task that comes between the two
        return self._shutdown.step(
            time.monotonic(), tasks_in_progress=len(self._consumer.in_progress()), receiving=receiving
        )

    def _act(self, step: Step) -> None:
        if self._shutdown.asked:
            self._metrics.draining.set(1)
            self._consumer.stop_receiving()
        if step is Step.STOP_TASKS:
            self._stop_tasks()

    def _stop_tasks(self) -> None:
        going_on = [in_hand for in_hand in self._consumer.in_progress() if in_hand.stop_cause is None]
        if going_on:
            self._stopped_tasks = True
            logger.warning("the grace period is over: stopping %d tasks", len(going_on))
        for in_hand in going_on:
            in_hand.stop(StopCause.SHUTDOWN)

    def _leave(self, step: Step) -> int:
        until = time.monotonic() + (FORCED_CLOSE_SECONDS if step is Step.HAND_BACK else CLOSE_SECONDS)
        forced = self._stopped_tasks or (step is Step.HAND_BACK and bool(self._consumer.in_progress()))
        connected = self._consumer.connected
        closing = self._thread("copies", self._copies.close)  # without the broker, closing takes long
        closing.start()
        self._keeper.leave()
        if connected:  # else it may be trying to get a connection
            self._keeping.join(max(0.0, until - time.monotonic()))
        closing.join(max(0.0, until - time.monotonic()))
        exit_code = EXIT_FORCED if forced else self._shutdown.exit_code
        logger.info("left", extra={"fields": {"exit_code": exit_code}})
        if exit_code == EXIT_FORCED:
            end_now(exit_code)  # a thread that runs a task cannot be stopped in another way
        return exit_code

    def _watch_time_limits(self) -> None:
        now = time.monotonic()
        for in_hand in self._consumer.in_progress():
            over = in_hand.seconds_so_far(now) - self._settings.task_timeout
            if over > 0 and not in_hand.attempt_is_over:
                in_hand.stop(StopCause.TIME_LIMIT)
                if over > ABANDON_SECONDS:
                    self._abandon(in_hand)

    def _watch_slots(self) -> None:
        """Log when the last slot is taken by a failed task that waits for its copy, and when one is free again."""
        held = self._health.slots_are_held
        if held and not self._slots_were_held:
            logger.error("not ready: every slot holds a failed task; %s", self._health.holding)
        elif self._slots_were_held and not held:
            logger.info("a slot is free again")
        self._slots_were_held = held

    def _abandon(self, in_hand: InHand) -> None:
        """Settle a task whose handler does not end, then leave: its thread is lost until the process ends."""
        if not in_hand.claim():
            return
        logger.error(
            "task %s: its handler still runs %.0f s after the time limit; settled as timed out, and this worker exits",
            *(in_hand.delivery.message_id, ABANDON_SECONDS),
        )
        self._shutdown = self._shutdown.failed(time.monotonic(), self._settings.grace_period)

        def settle() -> None:
            self._consumer.settle(self._runner.settle(in_hand, self._runner.timed_out()))

        self._thread("abandoned", settle).start()
        self._thread("task-instead", self._work).start()  # for what may still come before the consumer is cancelled

    def _wait(self) -> None:
        with contextlib.suppress(queue.Empty):
            self._events.get(timeout=LOOK_SECONDS)()

    def _on_signal(self, _number: int, _frame: object) -> None:
        """Runs between any two steps of the supervisor, and so changes nothing of its."""
        self._events.put(functools.partial(self._signalled, time.monotonic()))

    def _signalled(self, when: float) -> None:
        self._shutdown = self._shutdown.signalled(when, self._settings.grace_period)

    def _wore_out(self) -> None:
        logger.info("leaving after --max-tasks", extra={"fields": {"tasks": self._settings.max_tasks}})
        seconds = self._settings.task_timeout + self._settings.grace_period
        self._shutdown = self._shutdown.wore_out(time.monotonic(), seconds)

    def _work(self) -> None:
        while in_hand := self._consumer.next_task():
            result = self._runner.run(in_hand)
            if result:
                self._consumer.settle(result)
            if next(self._numbers) == self._settings.max_tasks:
                self._events.put(self._wore_out)

    def _thread(self, name: str, target: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                target()
            except BaseException:  # a bug ends the process, loudly
                logger.critical("a bug in the worker ends it", exc_info=True)
                self._events.put(functools.partial(end_now, EXIT_BUG))  # the broker gives our tasks to others

        return threading.Thread(target=guarded, name=name, daemon=True)
