"""Keeps the consumer connected: opens its connections and waits before the next one. See docs/decisions/0100.

The keeper decides when to connect. Whether there is a connection, and whether there should be one, is the consumer's
to say: attach() takes a connection, or refuses it when the worker began to stop while it was being opened.
"""

from workqueue_worker.connection_report import ConnectionReport
from workqueue_worker.consumer import Consumer
from workqueue_worker.health import Health
from workqueue_worker.link import OpenLink

#: Seconds between two turns of a connection that no thread waits for; several to a heartbeat.
KEEP_SECONDS = 0.5


class Keeper:
    """Runs in a thread of its own, which works on no task."""

    def __init__(self, consumer: Consumer, open_link: OpenLink, report: ConnectionReport, health: Health) -> None:
        """`open_link(epoch, on_delivery)` connects and consumes, or raises."""
        self._consumer = consumer
        self._open_link = open_link
        self._report = report
        self._health = health
        #: Of the connection that was attached last.
        self._epoch = 0
        self._leaving = False

    def run(self) -> None:
        """Keep the connection until leave() is called; then hand back what is in progress, and close."""
        while not self._leaving:
            self._keep_once()
        self._consumer.close()

    def leave(self) -> None:
        """For another thread: end run()."""
        self._leaving = True
        self._consumer.notify()

    def _keep_once(self) -> None:
        if self._consumer.wants_link:
            self._wait_while_wanted(self._report.pause_seconds)
            self._wait_for_a_free_thread()
            self._connect()
        else:
            self._consumer.turn_unless_led()
        with self._consumer.changed:
            if not self._consumer.wants_link:
                self._consumer.changed.wait(KEEP_SECONDS)

    def _wait_while_wanted(self, seconds: float) -> None:
        with self._consumer.changed:
            self._consumer.changed.wait_for(lambda: not self._consumer.wants_link, timeout=seconds)

    def _wait_for_a_free_thread(self) -> None:
        """All may work on tasks of the lost connection: what came now would lie here, while other workers are idle."""
        while self._consumer.wants_link and not (self._consumer.has_free_thread or self._leaving):
            self._health.tick()
            self._report.no_free_thread()
            self._wait_while_wanted(KEEP_SECONDS)

    def _connect(self) -> None:
        self._health.tick()
        if not self._consumer.wants_link:
            return
        try:
            link = self._open_link(self._epoch + 1, self._consumer.received)
        except Exception as failure:  # noqa: BLE001 - there are many ways not to connect; each is tried again
            self._report.not_opened(failure)
            return
        if self._consumer.attach(link):
            self._epoch = link.epoch
        else:
            link.close()
