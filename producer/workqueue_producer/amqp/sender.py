"""What is sent when, and what an answer means. Runs in the I/O thread.

Rule: every message that was taken in is settled once, by a confirm or by an error, and until then sent again under its
id. After trouble the window opens slowly, from one message: so a full queue is asked gently, and a message that the
broker closes the channel for is found, as it is the only one on its way.
"""

import logging
from collections import deque
from collections.abc import Callable
from time import monotonic

from workqueue_broker.backoff import full_jitter
from workqueue_broker.errors import BrokerError, QueueMissing

from workqueue_producer.amqp.in_flight import InFlight
from workqueue_producer.amqp.session import Session
from workqueue_producer.metrics import QueueMetrics, ResendCause
from workqueue_producer.outbox import Outbox
from workqueue_producer.task import Message

logger = logging.getLogger(__name__)

#: Seconds after which callers are woken for room that is less than a quarter of the window; in between more may come.
SHARE_SECONDS = 0.005
#: Seconds: full jitter before messages that the broker sent back go again.
RESEND_BASE, RESEND_CAP = 0.05, 2.0

CallLater = Callable[[float, Callable[[], None]], object]


class Sender:
    """The messages between the outbox and the broker."""

    def __init__(self, outbox: Outbox, metrics: QueueMetrics, call_later: CallLater, queue: str, create: bool) -> None:
        self._outbox = outbox
        self._metrics = metrics
        self._call_later = call_later
        self._queue = queue
        self._create = create
        self._session: Session | None = None
        self._in_flight = InFlight()
        self._waiting: deque[Message] = deque()
        #: What the broker sent back, until the pause is over.
        self._held: list[Message] = []
        #: How many may be in flight; None: all that the outbox lets in.
        self._limit: int | None = None
        self._blocked = False
        self._paused = False
        self._pauses = 0
        self._declare_first = False
        self._sharing = False
        #: Why nothing is confirmed now, in words; None when no reason is known.
        self.trouble: str | None = None
        #: Whether a message was ever confirmed, and since the last connection.
        self.ever_confirmed = False
        self.confirmed_since_ready = False
        #: When the last confirm came (seconds, monotonic); None until the first.
        self.last_confirmed_at: float | None = None

    def ready(self, session: Session) -> None:
        self._session = session
        self.trouble = None
        self.confirmed_since_ready = False
        self.pump()

    def pump(self) -> None:
        """Send what may be sent now."""
        session = self._session
        if session is None or self._blocked or self._paused:
            return
        self._waiting.extend(self._outbox.take_all())
        with session.joined():
            while self._waiting and (self._limit is None or len(self._in_flight) < self._limit):
                message = self._waiting.popleft()
                if message.abandoned:
                    self._fail([message], TimeoutError("given up by its caller"))
                else:
                    session.publish(message)
                    self._in_flight.add(message)

    def confirmed(self, tag: int, multiple: bool) -> None:
        messages = self._in_flight.answered(tag, multiple)
        returned = [message for message in messages if message.returned]
        if returned:
            messages = [message for message in messages if not message.returned]
            self._sent_back(returned)
        if messages:
            self._settle(messages)
            self._open_up()

    def rejected(self, tag: int, multiple: bool) -> None:
        self.trouble = f"queue {self._queue} is full and rejects messages"
        self._hold_back(self._in_flight.answered(tag, multiple), ResendCause.REJECTED)

    def returned(self, message_id: str) -> None:
        """The broker found no queue; its confirm follows, which then is none.

        Of two with one id it may be either: both go again, as a task that came twice is better than one that is lost.
        """
        for message in self._in_flight.find(message_id):
            message.returned = True

    def blocked(self, reason: str | None) -> None:
        """An alarm of the broker (its words), or None: it is over."""
        self._blocked = reason is not None
        self._metrics.blocked.set(self._blocked)
        self.trouble = f"the broker blocks publishers: {reason}" if reason is not None else None
        self.pump()

    def lost(self, error: BrokerError, by_message: bool) -> None:
        """The session is over; what was in flight goes again, first.

        `by_message`: the broker ended it for what a message is. One that was alone on its way is the one.
        """
        self._session = None
        self._blocked = False
        self._metrics.blocked.set(0)
        self.trouble = str(error)
        self._limit = 1
        unsettled = self._in_flight.all()
        self._in_flight = InFlight()
        if by_message and len(unsettled) == 1:
            self._fail(unsettled, error)
        else:
            self._hold(unsettled, ResendCause.CONNECTION)
        self._release()

    def fail_all(self, error: Exception) -> list[Message]:
        """Nothing of what is here can be sent; returns what no caller had given up before."""
        self._release()
        messages = [*self._in_flight.all(), *self._waiting, *self._outbox.take_all()]
        self._in_flight = InFlight()
        self._waiting.clear()
        self._fail(messages, error)
        return [message for message in messages if not message.abandoned]

    def _settle(self, messages: list[Message]) -> None:
        for message in messages:
            message.receipt.settle(message, None)
        self.last_confirmed_at = now = monotonic()
        self._metrics.confirmed.inc(len(messages))
        self._metrics.confirm_seconds.observe(now - messages[0].published_at)
        self._free(messages)
        self.ever_confirmed = self.confirmed_since_ready = True

    def _open_up(self) -> None:
        """A confirm: the window doubles, until it no longer holds anything back."""
        if self._limit is None:
            return
        self.trouble = None
        self._pauses = 0
        self._limit = self._limit * 2 if self._waiting else None
        self.pump()

    def _sent_back(self, messages: list[Message]) -> None:
        self.trouble = f"queue {self._queue} is missing"
        if self._create:
            self._declare_first = True
            self._hold_back(messages, ResendCause.UNROUTABLE)
        else:
            self._fail(messages, QueueMissing(f"{self.trouble}: declare it, or let the publisher create it"))

    def _hold_back(self, messages: list[Message], cause: ResendCause) -> None:
        self._hold(messages, cause)
        self._limit = 1
        if not self._paused:
            self._paused = True
            self._pauses += 1
            self._call_later(full_jitter(self._pauses, base=RESEND_BASE, cap=RESEND_CAP), self._resume)

    def _resume(self) -> None:
        self._paused = False
        self._release()
        if self._session is not None and self._declare_first:
            self._declare_first = False
            self._session.declare(lambda _: None)  # the channel keeps the order: the queue is there before the messages
        self.pump()

    def _hold(self, messages: list[Message], cause: ResendCause) -> None:
        for message in messages:
            message.returned = False
        self._held.extend(messages)
        self._metrics.resent[cause].inc(len(messages))

    def _release(self) -> None:
        """What was held goes before what waits, in its order."""
        self._waiting.extendleft(reversed(self._held))
        self._held.clear()

    def _fail(self, messages: list[Message], error: Exception) -> None:
        unheard = [message.message_id for message in messages if not message.receipt.waited_for]
        if unheard:
            ids = ", ".join(unheard)
            logger.error(
                "queue %s: %d submitted tasks not confirmed: %s; ids: %s", self._queue, len(unheard), error, ids
            )
        for message in messages:
            message.receipt.settle(message, error)
        self._metrics.failed.inc(len(messages))
        self._free(messages)

    def _free(self, messages: list[Message]) -> None:
        if self._outbox.free(messages) and not self._sharing:
            self._sharing = True
            self._call_later(SHARE_SECONDS, self._share)

    def _share(self) -> None:
        self._sharing = False
        self._outbox.share()
