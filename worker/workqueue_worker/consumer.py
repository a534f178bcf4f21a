"""Receives and settles, from several threads over one connection. See docs/decisions/0100.

Two locks. The thread that holds the wheel uses the connection, for microseconds. The thread that holds the lead waits
for what comes, without the wheel, for all idle threads; only the lead may read. The invariants, each kept by the order
of two steps:

- No result lies while the wheel is free: settle() appends, then tries the wheel; a thread that lets go of the wheel
  looks at the results once more. So a result is settled by its own thread, or by the one that has the wheel just then.
- No delivery waits while a thread is idle: deliveries are added under the lead only, a thread that gets the lead looks
  at them first, and letting go of it wakes the next.
- Nothing is settled over a foreign connection: the connection changes under the wheel only, and epochs are compared
  under it. A delivery that was taken while its connection was being lost is stale, and its settlement counted as lost.

While all threads work, the keeper's thread takes the lead every half second, so that heartbeats go on.
"""

import threading
from collections.abc import Sequence

from workqueue_worker.connection_report import ConnectionReport
from workqueue_worker.deliveries import Deliveries
from workqueue_worker.delivery import Delivery
from workqueue_worker.finished_tasks import FinishedTasks
from workqueue_worker.health import Health
from workqueue_worker.in_hand import InHand
from workqueue_worker.link import SETTLE, Link, OpenLink
from workqueue_worker.metrics import WorkerMetrics
from workqueue_worker.reconnecting import Reconnecting
from workqueue_worker.result import Action, Result, log_task
from workqueue_worker.settlement import Done, RequeueCause

#: Seconds that a thread without work waits before it looks around.
TURN_SECONDS = 1.0
#: Seconds between the keeper's turns; several to a heartbeat.
KEEP_SECONDS = 0.5


class Consumer:
    """The deliveries of one worker."""

    def __init__(
        self,
        open_link: OpenLink,
        metrics: WorkerMetrics,
        health: Health,
        finished: FinishedTasks,
        threads: int,
        reconnecting: Reconnecting | None = None,
    ) -> None:
        """`open_link(epoch, on_delivery)` connects and consumes, or raises. `threads`: how many call next_task()."""
        self._open_link = open_link
        self._metrics = metrics
        self._health = health
        self._finished = finished
        self._threads = threads
        self._deliveries = Deliveries(threads)
        self._report = ConnectionReport(metrics, health, reconnecting or Reconnecting())
        self._wheel = threading.Lock()
        self._at_the_wheel = _AtTheWheel(self)
        self._lead = threading.Lock()
        #: Notified when the connection comes, goes, or is to be left.
        self._changed = threading.Condition()
        self._link: Link | None = None
        self._epoch = 0
        self._stopping = False
        self._leaving = threading.Event()
        metrics.in_progress.set_function(lambda: len(self._deliveries))

    # For the tasks' threads.

    def next_task(self) -> InHand | None:
        """The next delivery to work on; None when there will be no more."""
        while True:
            in_hand = self._take()
            if in_hand or self._stopped:
                return in_hand
            with self._lead:
                self._receive()

    def settle(self, result: Result) -> None:
        """Have a delivery settled now, by this thread or by the one that is at the wheel."""
        self._deliveries.finish(result)
        self._settle_results()

    def is_stale(self, delivery: Delivery) -> bool:
        """True when its connection is gone: the broker gives it to a consumer again."""
        return self._deliveries.is_stale(delivery)

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

    def in_progress(self) -> list[InHand]:
        """Everything received and not settled."""
        return self._deliveries.in_progress()

    def stop_receiving(self) -> None:
        """Take no new tasks; the thread that has the lead cancels the consumer."""
        self._stopping = True
        self._report.stopping()
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
        """Keep the connection until leave() is called."""
        while not self._leaving.is_set():
            self._keep_once()
        with self._at_the_wheel:
            self._settle()
            self._hand_back(self._deliveries.close())
            if self._link:
                self._link.close()
            self._link = None
            self._deliveries.lost()

    def _keep_once(self) -> None:
        if self._link is None and not self._stopping:
            self._wait_for_stop(self._report.pause_seconds)
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
            self._report.not_opened(failure)
            return
        with self._at_the_wheel:
            if self._stopping:  # the tasks' threads may have ended: none would work on what comes
                link.close()
                return
            self._epoch += 1
            self._deliveries.connected(self._epoch)
            self._link = link
            self._report.opened(again=self._epoch > 1)  # with the wheel, as its loss: the last report is what is true
        self._notify()

    def _wait_for_a_free_thread(self) -> None:
        """All may work on tasks of the lost connection: what came now would lie here, while other workers are idle."""
        while len(self._deliveries) >= self._threads and not (self._stopping or self._leaving.is_set()):
            self._health.tick()
            self._report.no_free_thread()
            self._wait_for_stop(KEEP_SECONDS)

    def _wait_for_stop(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, timeout=seconds)

    # With the lead.

    def _receive(self) -> None:
        """Wait until there is something to take, for this thread and for all that wait for the lead."""
        while not self._deliveries.waiting and not self._stopped:
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
                self._hand_back(self._deliveries.excess())  # other workers can begin with it now

    def _consume_or_not(self, link: Link) -> None:
        takes_tasks = not (self._stopping or self._health.takes_no_more)
        if link.consuming and not takes_tasks:
            link.cancel()
            self._notify()
        elif takes_tasks and not link.consuming:
            link.consume()

    def _on_delivery(self, delivery: Delivery) -> None:
        self._metrics.received.inc()
        if delivery.redelivered:
            self._metrics.redelivered.inc()
        self._deliveries.received(delivery)

    # With nothing.

    @property
    def _stopped(self) -> bool:
        return self._stopping and not self.receiving and not self._deliveries.waiting

    def _take(self) -> InHand | None:
        in_hand, requeued = self._deliveries.take()
        if requeued:
            self._metrics.requeued[RequeueCause.CONNECTION].inc(requeued)
        return in_hand

    def _settle_results(self) -> None:
        """Settle what is due, unless another thread is at the wheel, which does this before it lets go."""
        while self._deliveries.results and self._wheel.acquire(blocking=False):
            try:
                self._settle()
            finally:
                self._wheel.release()

    # Under the wheel.

    def _settle(self) -> None:
        results = self._deliveries.due()
        if not results:
            return
        self._send([(result.action, result.in_hand.delivery) for result in results])
        for result in results:
            sent = not self._deliveries.is_stale(result.in_hand.delivery)  # when the sending failed, they all are
            (self._metrics.settled[result.ending] if sent else self._metrics.acks_lost).inc()
            self._deliveries.settled(result, sent=sent)
            if not sent:
                self._remember_if_done(result)
            log_task(result.in_hand, result.outcome, result.detail, sent=sent)

    def _hand_back(self, in_progress: Sequence[InHand]) -> None:
        self._send([(Action.HAND_BACK, in_hand.delivery) for in_hand in in_progress])
        for in_hand in in_progress:
            if self._deliveries.end(in_hand):
                sent = not self._deliveries.is_stale(in_hand.delivery)
                (self._metrics.requeued[RequeueCause.SHUTDOWN] if sent else self._metrics.acks_lost).inc()
                log_task(in_hand, "handed back", "unfinished: the worker must leave", sent=sent)

    def _send(self, settlements: Sequence[tuple[Action, Delivery]]) -> None:
        """In one piece. Those of another connection are left out: their tags mean other deliveries in this one."""
        link = self._link
        if link is None:
            return
        try:
            for action, delivery in settlements:
                if delivery.epoch == link.epoch:
                    SETTLE[action](link, delivery)
            link.flush()
        except Exception as error:  # noqa: BLE001 - see _lose_link
            self._lose_link(error)

    def _lose_link(self, error: Exception) -> None:
        """Any error of the connection costs the connection and nothing else: a new one is opened."""
        link, self._link = self._link, None
        if link is None:
            return
        lost = self._deliveries.lost()
        self._report.lost(error, stopping=self._stopping)
        link.wake()  # the thread that waits for it must see that it is gone
        threading.Thread(target=link.close, daemon=True).start()  # may take its time
        for result in lost.in_doubt:
            self._remember_if_done(result)
        self._metrics.requeued[RequeueCause.CONNECTION].inc(lost.requeued)
        self._notify()

    def _remember_if_done(self, result: Result) -> None:
        """The broker may not have read the ack: the task comes again, and must not run again."""
        if result.ending is Done.DONE:
            self._finished.add(result.in_hand.delivery)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


class _AtTheWheel:
    """The block has the wheel; after it, the results are looked at once more."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def __enter__(self) -> None:
        self._consumer._wheel.acquire()

    def __exit__(self, *_: object) -> None:
        self._consumer._wheel.release()
        self._consumer._settle_results()
