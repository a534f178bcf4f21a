"""Receives and settles, from several threads over one connection. See docs/decisions/0100.

Two locks. Who holds the wheel uses the connection, for microseconds. Who holds the lead waits for what comes, without
the wheel, for all who are idle; only the lead may read. The invariants, each kept by the order of two steps:

- No result lies while the wheel is free: settle() appends, then tries the wheel; who lets go of the wheel looks at the
  results once more. So a result is settled by its own thread, or by the one that is at the wheel at that moment.
- No delivery waits while a thread is idle: deliveries are added under the lead only, who gets the lead looks at them
  first, and letting go of it wakes the next.
- Nothing is settled over a foreign connection: the connection changes under the wheel only, and epochs are compared
  under it. A delivery that was taken while its connection was being lost is stale, and its settlement counted as lost.

While all threads work, the keeper's thread takes the lead every half second, so that heartbeats go on.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from workqueue_broker.errors import BrokerError, BrokerUnavailable

from workqueue_worker import logs
from workqueue_worker.delivery import Delivery
from workqueue_worker.health import Health, Readiness
from workqueue_worker.metrics import RequeueCause, WorkerMetrics
from workqueue_worker.reconnecting import Reconnecting
from workqueue_worker.result import Action, Result, log_task
from workqueue_worker.running import Running

logger = logs.logger(__name__)

#: Seconds that a thread without work waits before it looks around.
TURN_SECONDS = 1.0
#: Seconds between the keeper's turns; several to a heartbeat.
KEEP_SECONDS = 0.5


class Link(Protocol):
    """A consuming connection: amqp.ConsumerLink."""

    epoch: int

    @property
    def consuming(self) -> bool: ...
    def wait(self, seconds: float) -> None: ...
    def turn(self) -> None: ...
    def ack(self, delivery: Delivery) -> None: ...
    def hand_back(self, delivery: Delivery) -> None: ...
    def return_failed(self, delivery: Delivery) -> None: ...
    def flush(self) -> None: ...
    def cancel(self) -> None: ...
    def consume(self) -> None: ...
    def wake(self) -> None: ...
    def close(self) -> None: ...


OpenLink = Callable[[int, Callable[[Delivery], None]], Link]


class Consumer:
    """The deliveries of one worker."""

    def __init__(
        self,
        open_link: OpenLink,
        metrics: WorkerMetrics,
        health: Health,
        threads: int,
        reconnecting: Reconnecting | None = None,
    ) -> None:
        """`open_link(epoch, on_delivery)` connects and consumes, or raises. `threads`: how many call next_task()."""
        self._open_link = open_link
        self._metrics = metrics
        self._health = health
        self._threads = threads
        self._reconnecting = reconnecting or Reconnecting()
        self._pause_seconds = 0.0
        self._wheel = threading.Lock()
        self._at_the_wheel = _AtTheWheel(self)
        self._lead = threading.Lock()
        #: Notified when the connection comes, goes, or is to be left.
        self._changed = threading.Condition()
        self._link: Link | None = None
        self._epoch = 0
        self._stopping = False
        self._leaving = threading.Event()
        self._waiting: deque[Running] = deque()
        self._results: deque[Result] = deque()
        #: Sent last. The broker has never more of them to read than there are threads, as that is the prefetch.
        self._in_doubt: deque[Result] = deque(maxlen=threads)
        self._in_progress: dict[tuple[int, int], Running] = {}
        metrics.in_progress.set_function(lambda: len(self._in_progress))

    # For the tasks' threads.

    def next_task(self) -> Running | None:
        """The next delivery to work on; None when there will be no more."""
        while True:
            running = self._take()
            if running or self._stopped:
                return running
            with self._lead:
                self._receive()

    def settle(self, result: Result) -> None:
        """Have a delivery settled now, by this thread or by the one that is at the wheel."""
        self._results.append(result)
        self._settle_results()

    def is_stale(self, delivery: Delivery) -> bool:
        """True when its connection is gone: the broker gives it to somebody again."""
        link = self._link
        return link is None or link.epoch != delivery.epoch

    def hold(self, delivery: Delivery, seconds: float, *, also_when_stopping: bool = False) -> None:
        """Keep a delivery unsettled for up to `seconds`.

        Returns early when its connection is lost and, unless `also_when_stopping`, once the worker is stopping.
        """

        def over() -> bool:
            return self.is_stale(delivery) or (self.stopping and not also_when_stopping)

        with self._changed:
            self._changed.wait_for(over, timeout=seconds)

    @property
    def stopping(self) -> bool:
        """True once the worker must leave and the broker sends it no more, such as what it hands back."""
        return self._stopping and not self.receiving

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
        """Take no new tasks; whoever has the lead cancels the consumer."""
        self._stopping = True
        self._health.readiness = Readiness(ready=False, text="leaving: takes no more tasks")
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
        with self._at_the_wheel:
            self._settle_all()
            self._waiting.clear()
            self._hand_back(self.in_progress())
            if self._link:
                self._link.close()
            self._link = None

    def _keep_once(self) -> None:
        if self._link is None and not self._stopping:
            self._wait_for_stop(self._pause_seconds)
            self._wait_for_a_free_thread()
            self._connect()
        elif self._lead.acquire(blocking=False):  # else a thread waits for the connection, and turns it
            try:
                self._turn()
            finally:
                self._lead.release()
        with self._changed:
            if self._link or self._stopping:
                self._changed.wait(KEEP_SECONDS)

    def _connect(self) -> None:
        self._health.tick()
        if self._stopping:
            return
        try:
            link = self._open_link(self._epoch + 1, self._on_delivery)
        except Exception as failure:  # noqa: BLE001 - there are many ways not to connect; each is tried again
            error = _broker_error(failure)
            self._pause_seconds = self._reconnecting.wait_after(error, time.monotonic())
            self._metrics.connected.set(0)
            self._health.readiness = Readiness(ready=False, text=f"not consuming: {error}")
            logger.warning("not consuming: %s; next attempt in %.1f s", error, self._pause_seconds)
            return
        self._reconnecting.connected(time.monotonic())
        with self._at_the_wheel:
            if self._stopping:  # the tasks' threads may have gone: nobody would work on what comes
                link.close()
                return
            self._epoch += 1
            self._link = link
            self._metrics.reconnects.inc(int(self._epoch > 1))
            self._metrics.connected.set(1)  # at the wheel, where it may be lost: the last word is what is so
            self._health.readiness = Readiness(ready=True, text="consuming")
        logger.info("consuming")
        self._notify()

    def _wait_for_a_free_thread(self) -> None:
        """All may work on tasks of the lost connection: what came now would lie here, while other workers are idle."""
        while len(self._in_progress) >= self._threads and not (self._stopping or self._leaving.is_set()):
            self._health.tick()
            text = "not consuming: every slot has a task whose connection was lost; it connects when one has ended"
            self._health.readiness = Readiness(ready=False, text=text)
            self._wait_for_stop(KEEP_SECONDS)

    def _wait_for_stop(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, timeout=seconds)

    # With the lead.

    def _receive(self) -> None:
        """Wait until there is something to take, for oneself and for all who wait for the lead."""
        while not self._waiting and not self._stopped:
            link = self._link
            if link:
                link.wait(TURN_SECONDS)
                self._turn()
            else:
                with self._changed:
                    self._changed.wait_for(lambda: self._link or self._stopped, timeout=TURN_SECONDS)

    def _turn(self) -> None:
        self._health.tick()
        with self._at_the_wheel:
            link = self._link
            if link is None:
                return
            try:
                self._consume_or_not(link)
                link.turn()
            except Exception as error:  # noqa: BLE001 - see _lose_link
                self._lose_link(error)
            if self._stopping:
                self._hand_back(self._excess())

    def _consume_or_not(self, link: Link) -> None:
        takes_tasks = not (self._stopping or self._health.takes_no_more)
        if link.consuming and not takes_tasks:
            link.cancel()
            self._notify()
        elif takes_tasks and not link.consuming:
            link.consume()

    def _excess(self) -> list[Running]:
        """What waits for a thread that works on a task of a lost connection: others can begin with it now."""
        excess: list[Running] = []
        with suppress(IndexError):  # taken just now
            while len(self._in_progress) - len(excess) > self._threads:
                excess.append(self._waiting.pop())
        return excess

    def _on_delivery(self, delivery: Delivery) -> None:
        self._metrics.received.inc()
        if delivery.redelivered:
            self._metrics.redelivered.inc()
        running = Running(delivery)
        self._in_progress[running.key] = running
        self._waiting.append(running)

    # With nothing.

    @property
    def _stopped(self) -> bool:
        return self._stopping and not self.receiving and not self._waiting

    def _take(self) -> Running | None:
        while True:
            try:
                running = self._waiting.popleft()
            except IndexError:  # nothing there, or lost with its connection just now
                return None
            if not self.is_stale(running.delivery):
                return running
            self._requeued(running)

    def _requeued(self, running: Running) -> None:
        """The broker gives it to somebody again, and nobody here has begun with it."""
        if self._forget(running):
            self._metrics.requeued[RequeueCause.CONNECTION].inc()

    def _forget(self, running: Running) -> bool:
        """True for the first who asks."""
        return self._in_progress.pop(running.key, None) is not None

    def _settle_results(self) -> None:
        """Settle what there is, unless somebody is at the wheel, who will do this afterwards."""
        while self._results and self._wheel.acquire(blocking=False):
            try:
                self._settle_all()
            finally:
                self._wheel.release()

    # Under the wheel.

    def _settle_all(self) -> None:
        while self._results:
            self._settle([self._results.popleft() for _ in range(len(self._results))])

    def _settle(self, results: Sequence[Result]) -> None:
        results = [result for result in results if result.running.key in self._in_progress]  # else handed back already
        self._send([(result.action, result.running.delivery) for result in results])
        for result in results:
            sent = not self.is_stale(result.running.delivery)  # when the sending failed, they all are
            (result.counter if sent else self._metrics.acks_lost).inc()
            self._forget(result.running)
            result.tell(sent=sent)
            if sent:
                self._in_doubt.append(result)

    def _hand_back(self, in_progress: Sequence[Running]) -> None:
        self._send([(Action.HAND_BACK, running.delivery) for running in in_progress])
        for running in in_progress:
            if self._forget(running):
                sent = not self.is_stale(running.delivery)
                (self._metrics.requeued[RequeueCause.SHUTDOWN] if sent else self._metrics.acks_lost).inc()
                log_task(running, "handed back", "unfinished: the worker must leave", sent=sent)

    def _send(self, settlements: Sequence[tuple[Action, Delivery]]) -> None:
        """In one piece. Those of another connection are left out: their tags mean other deliveries in this one."""
        link = self._link
        if link is None:
            return
        try:
            for action, delivery in settlements:
                if delivery.epoch == link.epoch:
                    _SETTLE[action](link, delivery)
            link.flush()
        except Exception as error:  # noqa: BLE001 - see _lose_link
            self._lose_link(error)

    def _lose_link(self, error: Exception) -> None:
        """Whatever goes wrong with the connection costs it, and nothing else: a new one heals all that is known."""
        link, self._link = self._link, None
        if link is None:
            return
        error = _broker_error(error)
        self._pause_seconds = self._reconnecting.wait_after(error, time.monotonic())
        self._metrics.connected.set(0)
        if not self._stopping:
            self._health.readiness = Readiness(ready=False, text=f"not consuming: {error}")
        logger.warning("connection lost: %s", error)
        link.wake()  # who waits for it must see that it is gone
        threading.Thread(target=link.close, daemon=True).start()  # may take its time
        while self._in_doubt:
            self._in_doubt.popleft().doubt()
        while self._waiting:
            with suppress(IndexError):  # taken just now, by a thread that then sees that it is stale
                self._requeued(self._waiting.popleft())
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


class _AtTheWheel:
    """The block has the wheel, and when it has let go of it looks at the results once more."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def __enter__(self) -> None:
        self._consumer._wheel.acquire()

    def __exit__(self, *_: object) -> None:
        self._consumer._wheel.release()
        self._consumer._settle_results()


def _broker_error(error: Exception) -> BrokerError:
    if isinstance(error, BrokerError):
        return error
    logger.error("the connection failed in an unknown way", exc_info=error)
    return BrokerUnavailable(f"the connection failed: {type(error).__name__}: {error}")


_SETTLE: dict[Action, Callable[[Link, Delivery], None]] = {
    Action.ACK: lambda link, delivery: link.ack(delivery),
    Action.HAND_BACK: lambda link, delivery: link.hand_back(delivery),
    Action.RETURN_FAILED: lambda link, delivery: link.return_failed(delivery),
}
