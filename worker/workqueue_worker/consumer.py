"""Receives and settles, from several threads over one connection: whoever holds the wheel turns the connection's loop.

A task's thread turns it until a task comes, lets go, does the work, and takes it again to settle. While all of them
work, the keeper's thread turns it every half second, so that heartbeats go on. See docs/decisions/0100.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from workqueue_broker.errors import BrokerError, BrokerUnavailable

from workqueue_worker.delivery import Delivery
from workqueue_worker.health import Health, Readiness
from workqueue_worker.metrics import RequeueCause, WorkerMetrics
from workqueue_worker.reconnecting import Reconnecting
from workqueue_worker.result import Action, Result
from workqueue_worker.running import Running

logger = logging.getLogger(__name__)

#: Seconds that a thread without work turns the loop before it looks around.
TURN_SECONDS = 1.0
#: Seconds between the keeper's turns; several to a heartbeat.
KEEP_SECONDS = 0.5


class Link(Protocol):
    """A consuming connection: amqp.ConsumerLink."""

    epoch: int

    @property
    def consuming(self) -> bool: ...
    def turn(self, seconds: float) -> None: ...
    def ack(self, delivery: Delivery) -> None: ...
    def hand_back(self, delivery: Delivery) -> None: ...
    def return_failed(self, delivery: Delivery) -> None: ...
    def cancel(self) -> None: ...
    def wake(self) -> None: ...
    def close(self) -> None: ...


OpenLink = Callable[[int, Callable[[Delivery], None]], Link]


class Consumer:
    """The deliveries of one worker."""

    def __init__(self, open_link: OpenLink, metrics: WorkerMetrics, health: Health) -> None:
        """`open_link(epoch, on_delivery)` connects and consumes, or raises a BrokerError."""
        self._open_link = open_link
        self._metrics = metrics
        self._health = health
        self._reconnecting = Reconnecting()
        self._pause_seconds = 0.0
        self._wheel = threading.Lock()
        #: Notified when the connection comes, goes, or is to be left.
        self._changed = threading.Condition()
        self._link: Link | None = None
        self._epoch = 0
        self._polling = False
        self._stopping = False
        self._leaving = threading.Event()
        self._waiting: deque[Running] = deque()
        self._results: deque[Result] = deque()
        self._in_progress: dict[tuple[int, int], Running] = {}

    # For the tasks' threads.

    def next_task(self) -> Running | None:
        """The next delivery to work on; None when there will be no more."""
        while True:
            with self._wheel:
                running = self._receive()
            if running or self._stopped:
                return running
            with self._changed:
                self._changed.wait_for(lambda: self._link or self._stopped, timeout=TURN_SECONDS)

    def settle(self, result: Result) -> None:
        """Have a delivery settled by whoever holds the wheel next, which may be the caller's next_task()."""
        self._results.append(result)
        link = self._link
        if self._polling and link:
            link.wake()

    def is_stale(self, delivery: Delivery) -> bool:
        """True when its connection is gone: the broker gives it to somebody again."""
        link = self._link
        return link is None or link.epoch != delivery.epoch

    def hold(self, delivery: Delivery, seconds: float, *, also_when_stopping: bool = False) -> None:
        """Wait with a delivery in hand, but not once it is stale nor, unless told otherwise, once told to leave."""

        def over() -> bool:
            return self.is_stale(delivery) or (self._stopping and not also_when_stopping)

        with self._changed:
            self._changed.wait_for(over, timeout=seconds)

    # For the supervisor.

    @property
    def connected(self) -> bool:
        """True while there is a connection."""
        return self._link is not None

    @property
    def receiving(self) -> bool:
        """True while the broker may send a task."""
        link = self._link
        return link is not None and link.consuming

    def in_progress(self) -> list[Running]:
        """Everything received and not settled."""
        return list(self._in_progress.values())

    def stop_receiving(self) -> None:
        """Take no new tasks; whoever holds the wheel cancels the consumer."""
        self._stopping = True
        self._health.readiness = Readiness(ready=False, text="leaving: told to stop")
        link = self._link
        if link:
            link.wake()
        self._notify()

    def leave(self) -> None:
        """Have the keeper hand back what is still in progress, and close."""
        self._leaving.set()
        self._notify()

    # For the keeper's thread.

    def keep(self) -> None:
        """Keep the connection, until told to leave."""
        while not self._leaving.is_set():
            self._keep_once()
        with self._wheel:
            self._settle_results()
            for running in self.in_progress():
                self._hand_back(running)
            if self._link:
                self._link.close()
            self._link = None

    def _keep_once(self) -> None:
        if self._link is None and not self._stopping:
            self._wait_for_stop(self._pause_seconds)
            self._connect()
        elif self._wheel.acquire(blocking=False):  # else another thread turns it
            try:
                self._settle_results()
                self._turn(0)
            finally:
                self._wheel.release()
        with self._changed:
            if self._link or self._stopping:
                self._changed.wait(KEEP_SECONDS)

    def _connect(self) -> None:
        self._health.tick()
        if self._stopping:
            return
        try:
            link = self._open_link(self._epoch + 1, self._on_delivery)
        except BrokerError as error:
            self._pause_seconds = self._reconnecting.wait_after(error, time.monotonic())
            self._health.readiness = Readiness(ready=False, text=f"not consuming: {error}")
            logger.warning("not consuming: %s; next attempt in %.1f s", error, self._pause_seconds)
            return
        self._reconnecting.connected(time.monotonic())
        with self._wheel:
            if self._stopping:  # the tasks' threads may have gone: nobody would work on what comes
                link.close()
                return
            self._epoch += 1
            self._link = link
        self._metrics.connected.set(1)
        self._metrics.reconnects.inc(int(self._epoch > 1))
        if not self._stopping:
            self._health.readiness = Readiness(ready=True, text="consuming")
        logger.info("consuming")
        self._notify()

    def _wait_for_stop(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, timeout=seconds)

    # Under the wheel.

    @property
    def _stopped(self) -> bool:
        return self._stopping and not self.receiving and not self._waiting

    def _receive(self) -> Running | None:
        self._settle_results()
        while not self._waiting and self._link and not self._stopped:
            self._turn(TURN_SECONDS)
            self._settle_results()
        return self._waiting.popleft() if self._waiting else None

    def _turn(self, seconds: float) -> None:
        self._health.tick()
        link = self._link
        if link is None:
            return
        with self._losing_the_link():
            if self._stopping and link.consuming:
                link.cancel()
            self._polling = True  # before the look at the results: settle() looks at them in the other order
            try:
                link.turn(0 if self._results or self._stopping else seconds)
            finally:
                self._polling = False

    def _on_delivery(self, delivery: Delivery) -> None:
        self._metrics.in_progress.inc()
        self._metrics.received.inc()
        if delivery.redelivered:
            self._metrics.redelivered.inc()
        running = Running(delivery)
        self._in_progress[running.key] = running
        self._waiting.append(running)

    def _settle_results(self) -> None:
        while self._results:
            self._settle(self._results.popleft())

    def _settle(self, result: Result) -> None:
        delivery = result.running.delivery
        sent = False
        link = self._link
        if link and link.epoch == delivery.epoch:
            with self._losing_the_link():
                _SETTLE[result.action](link, delivery)
                sent = True
        (result.counter if sent else self._metrics.acks_lost).inc()
        self._forget(result.running)
        result.log(sent=sent)

    def _hand_back(self, running: Running) -> None:
        link = self._link
        if link and link.epoch == running.delivery.epoch:
            with self._losing_the_link():
                link.hand_back(running.delivery)
                self._metrics.requeued[RequeueCause.SHUTDOWN].inc()
                logger.warning("handed back unfinished", extra={"fields": {"id": running.delivery.message_id}})
        self._forget(running)

    def _forget(self, running: Running) -> None:
        if self._in_progress.pop(running.key, None):
            self._metrics.in_progress.dec()

    @contextmanager
    def _losing_the_link(self) -> Iterator[None]:
        """Whatever goes wrong inside costs the connection, and nothing else."""
        try:
            yield
        except BrokerError as error:
            self._lose_link(error)
        except Exception as error:  # the library has failed in many ways; a new connection heals them
            logger.exception("the connection failed in an unknown way")
            self._lose_link(BrokerUnavailable(f"the connection failed: {type(error).__name__}: {error}"))

    def _lose_link(self, error: BrokerError) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        self._pause_seconds = self._reconnecting.wait_after(error, time.monotonic())
        self._metrics.connected.set(0)
        if not self._stopping:
            self._health.readiness = Readiness(ready=False, text=f"not consuming: {error}")
        logger.warning("connection lost: %s", error)
        threading.Thread(target=link.close, daemon=True).start()  # may take its time
        while self._waiting:
            self._metrics.requeued[RequeueCause.CONNECTION].inc()
            self._forget(self._waiting.popleft())
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


_SETTLE: dict[Action, Callable[[Link, Delivery], None]] = {
    Action.ACK: lambda link, delivery: link.ack(delivery),
    Action.HAND_BACK: lambda link, delivery: link.hand_back(delivery),
    Action.RETURN_FAILED: lambda link, delivery: link.return_failed(delivery),
}
