"""The thread that owns the connection, and reconnects forever.

Rule: what worked before is retried; what never worked (a wrong password, another queue type) fails the messages that
wait, at once, since waiting does not help. Made and stopped by Publisher.
"""

import logging
import threading

from pika.adapters.select_connection import IOLoop
from workqueue_broker.backoff import full_jitter
from workqueue_broker.errors import BrokerError, BrokerUnavailable, MessageRefused
from workqueue_broker.library_log import quieten_this_thread

from workqueue_producer.amqp.sender import Sender
from workqueue_producer.amqp.session import LinkSettings, Session, session_parameters
from workqueue_producer.errors import PublisherClosed
from workqueue_producer.metrics import QueueMetrics
from workqueue_producer.outbox import Outbox
from workqueue_producer.task import Message

logger = logging.getLogger(__name__)

#: Seconds: full jitter between attempts to connect.
RECONNECT_BASE, RECONNECT_CAP = 0.1, 5.0
#: Seconds for an orderly goodbye; a broker with an alarm on does not answer it.
GOODBYE_SECONDS = 1.0


class Link:
    """A thread with one connection at a time."""

    def __init__(self, settings: LinkSettings, metrics: QueueMetrics) -> None:
        """Connects in the background, and sends what comes into its outbox.

        Raises InvalidAddress when a certificate cannot be used; everything else is found out by connecting.
        """
        session_parameters(settings)
        self._settings = settings
        self._metrics = metrics
        self._loop = IOLoop()
        #: Any thread may offer messages to it.
        self.outbox = Outbox(settings.window, settings.window_bytes, self._wake)
        metrics.unsettled.set_function(lambda: self.outbox.unsettled)
        queue = settings.queue.name
        self._sender = Sender(self.outbox, metrics, self._loop.call_later, queue, settings.create)
        self._session: Session | None = None
        self._attempts = 0
        self._stopping = False
        self._left: list[Message] = []
        #: The kind of the trouble that was logged last; None: connected since, or not tried yet.
        self._logged: str | None = None
        self._thread = threading.Thread(target=self._run, name="workqueue-publisher", daemon=True)
        self._thread.start()

    def _wake(self) -> None:
        """From any thread: the outbox has something."""
        self._loop.add_callback_threadsafe(self._sender.pump)

    def ask_to_stop(self) -> None:
        """From any thread: fail what is left, say goodbye, end the thread. Returns at once."""
        if self._thread.is_alive():
            self._loop.add_callback_threadsafe(self._say_goodbye)

    def stop(self) -> list[Message]:
        """The same, from any thread but its own; returns what was left, once the thread has ended."""
        self.ask_to_stop()
        self._thread.join()
        return self._left

    @property
    def trouble(self) -> str | None:
        """Why nothing is confirmed now, in words; None when no reason is known."""
        return self._sender.trouble or (self._session.waiting_for if self._session else None)

    @property
    def last_confirmed_at(self) -> float | None:
        return self._sender.last_confirmed_at

    def on_ready(self, session: Session) -> None:
        self._logged = None
        logger.info("queue %s: connected to %s", self._settings.queue.name, self._settings.address)
        self._metrics.connected.set(1)
        self._sender.ready(session)

    def on_blocked(self, reason: str | None) -> None:
        queue = self._settings.queue.name
        if reason is None:
            logger.info("queue %s: the broker takes messages again", queue)
        else:
            logger.warning("queue %s: the broker blocks publishers: %s", queue, reason)
        self._sender.blocked(reason)

    def on_lost(self, error: BrokerError, by_message: bool) -> None:
        self._metrics.connected.set(0)
        if self._stopping:
            return
        if error.kind != self._logged:  # a line for each attempt would bury the program's own
            self._logged = error.kind
            logger.warning("queue %s: %s; trying again until it works", self._settings.queue.name, error)
        self._sender.lost(error, by_message)
        if not isinstance(error, BrokerUnavailable | MessageRefused) and not self._sender.ever_confirmed:
            self._sender.fail_all(error)

    def on_gone(self) -> None:
        if self._stopping:
            self._loop.stop()
            return
        self._attempts = 1 if self._sender.confirmed_since_ready else self._attempts + 1
        self._loop.call_later(full_jitter(self._attempts, base=RECONNECT_BASE, cap=RECONNECT_CAP), self._connect)

    def _run(self) -> None:
        error: Exception = PublisherClosed("the publisher was closed")
        try:
            quieten_this_thread()
            self._connect()
            self._loop.start()
        except BaseException as failure:
            logger.exception("the publisher's thread failed")
            error = failure if isinstance(failure, Exception) else PublisherClosed(f"its thread failed: {failure!r}")
        self.outbox.close()
        self._left += self._sender.fail_all(error)
        self._loop.close()

    def _connect(self) -> None:
        if not self._stopping:
            self._session = Session(self._loop, self._settings, self._sender, self)

    def _say_goodbye(self) -> None:
        if self._stopping:  # asked twice
            return
        self._stopping = True
        self._left += self._sender.fail_all(PublisherClosed("the publisher was closed"))
        if self._session is None or self._session.gone:
            self._loop.stop()
        else:
            self._session.close()
            self._loop.call_later(GOODBYE_SECONDS, self._session.drop)
