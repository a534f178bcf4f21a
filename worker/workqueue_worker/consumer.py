"""Receives and settles, from several threads over one connection. See docs/decisions/0100.

Two locks. The thread that holds the wheel uses the connection, for microseconds. The thread that holds the lead waits
for what comes, without the wheel, for all idle threads; only the lead may read. The invariants, each kept by the order
of two steps:

- No result lies while the wheel is free: see wheel.py.
- No delivery waits while a thread is idle: deliveries are added under the lead only, a thread that gets the lead looks
  at them first, and letting go of it wakes the next.
- Nothing is settled over a foreign connection: the connection changes under the wheel only, and epochs are compared
  under it. A delivery that was taken while its connection was being lost is stale, and its settlement counted as lost.

The keeper's thread (keeper.py) opens the connections and has attach() take them; any thread may find one lost.
"""

import threading
from collections.abc import Sequence

from workqueue_worker.connection_report import ConnectionReport
from workqueue_worker.deliveries import Deliveries
from workqueue_worker.delivery import Delivery
from workqueue_worker.finished_tasks import FinishedTasks
from workqueue_worker.health import Health
from workqueue_worker.in_hand import InHand
from workqueue_worker.link import SETTLE, Link
from workqueue_worker.metrics import WorkerMetrics
from workqueue_worker.result import Action, Result, log_task
from workqueue_worker.settlement import Done, RequeueCause
from workqueue_worker.wheel import Wheel

#: Seconds that a thread without work waits before it looks around.
TURN_SECONDS = 1.0


class Consumer:
    """The deliveries of one worker."""

    def __init__(
        self, metrics: WorkerMetrics, health: Health, finished: FinishedTasks, report: ConnectionReport, threads: int
    ) -> None:
        """`threads`: how many call next_task()."""
        self._metrics = metrics
        self._health = health
        self._finished = finished
        self._report = report
        self._deliveries = Deliveries(threads)
        self._wheel = Wheel(self._deliveries.results, self._settle)
        self._lead = threading.Lock()
        #: Notified when the connection comes, goes, or is to be left.
        self.changed = threading.Condition()
        self._link: Link | None = None
        self._stopping = False
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
        self._wheel.settle_if_free()

    def is_stale(self, delivery: Delivery) -> bool:
        """True when its connection is gone: the broker gives it to a consumer again."""
        return self._deliveries.is_stale(delivery)

    def hold(self, delivery: Delivery, seconds: float, *, also_when_stopping: bool = False) -> None:
        """Keep a delivery unsettled for up to `seconds`.

        Returns early when its connection is lost and, unless `also_when_stopping`, once the worker is stopping.
        """

        def over() -> bool:
            return self.is_stale(delivery) or (self.stopping and not also_when_stopping)

        with self.changed:
            self.changed.wait_for(over, timeout=seconds)

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
        self.notify()

    # For the keeper.

    @property
    def wants_link(self) -> bool:
        """True while there is no connection and there should be one."""
        return self._link is None and not self._stopping

    @property
    def has_free_thread(self) -> bool:
        """False while all work, such as on tasks of a lost connection."""
        return self._deliveries.leave_a_thread_free

    def received(self, delivery: Delivery) -> None:
        """A delivery came over the connection: called in its turn()."""
        self._metrics.received.inc()
        if delivery.redelivered:
            self._metrics.redelivered.inc()
        self._deliveries.received(delivery)

    def attach(self, link: Link) -> bool:
        """Take this connection into use. False once the worker is stopping: it stays the caller's."""
        with self._wheel:
            if self._stopping:  # the tasks' threads may have ended: none would work on what comes
                return False
            self._deliveries.connected(link.epoch)
            self._link = link
            self._report.opened(again=link.epoch > 1)  # with the wheel, as its loss: the last report is what is true
        self.notify()
        return True

    def turn_unless_led(self) -> None:
        """Read once, if no thread waits for the connection: all may work, and heartbeats must go on."""
        if self._lead.acquire(blocking=False):
            try:
                self._turn()
            finally:
                self._lead.release()

    def close(self) -> None:
        """Hand back what is still in progress, and close the connection."""
        with self._wheel:
            self._settle()
            self._hand_back(self._deliveries.close())
            if self._link:
                self._link.close()
            self._link = None
            self._deliveries.lost()

    # With the lead.

    def _receive(self) -> None:
        """Wait until there is something to take, for this thread and for all that wait for the lead."""
        while not self._deliveries.waiting and not self._stopped:
            link = self._link
            if link:
                link.wait(TURN_SECONDS)
                self._turn()
            else:
                with self.changed:
                    self.changed.wait_for(lambda: self._link or self._stopped, timeout=TURN_SECONDS)

    def _turn(self) -> None:
        self._health.tick()
        with self._wheel:
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
            self.notify()
        elif takes_tasks and not link.consuming:
            link.consume()

    # With nothing.

    @property
    def _stopped(self) -> bool:
        return self._stopping and not self.receiving and not self._deliveries.waiting

    def _take(self) -> InHand | None:
        in_hand, requeued = self._deliveries.take()
        if requeued:
            self._metrics.requeued[RequeueCause.CONNECTION].inc(requeued)
        return in_hand

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
        self.notify()

    def _remember_if_done(self, result: Result) -> None:
        """The broker may not have read the ack: the task comes again, and must not run again."""
        if result.ending is Done.DONE:
            self._finished.add(result.in_hand.delivery)

    def notify(self) -> None:
        """Have every thread that waits for `changed` look again."""
        with self.changed:
            self.changed.notify_all()
