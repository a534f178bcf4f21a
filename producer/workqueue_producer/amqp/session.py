"""One connection from its opening to its loss, with one channel in confirm mode on a declared queue.

Every callback runs in the I/O thread. A session is lost once, for whatever reason, and then gone when its socket is.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import pika
from pika.adapters.select_connection import IOLoop
from workqueue_broker.address import BrokerAddress
from workqueue_broker.answering import ANSWER_SECONDS
from workqueue_broker.connection import (
    BLOCKED_TIMEOUT_SECONDS,
    ConnectionSettings,
    NodeFailures,
    connection_parameters,
    translate_published,
)
from workqueue_broker.declaration import QueueDeclaration
from workqueue_broker.errors import AccessRefused, BrokerError, MessageRefused, QueueMissing
from workqueue_broker.joined import JoinedConnection

from workqueue_producer.task import Message


@dataclass(frozen=True)
class LinkSettings:
    """Where to, and how."""

    address: BrokerAddress
    queue: QueueDeclaration
    #: True: make the queue when it is missing, also again.
    create: bool
    #: Shown in the management UI.
    name: str
    #: Messages, and bytes of their bodies, that may be unconfirmed at a time.
    window: int
    window_bytes: int
    #: Seconds that an alarm may block the connection before a new one is tried.
    blocked_timeout: float = BLOCKED_TIMEOUT_SECONDS
    #: Seconds from the login until the queue is declared; then a new connection is tried.
    answer_timeout: float = ANSWER_SECONDS


class Answers(Protocol):
    """What the broker answers to messages goes here: sender.Sender."""

    def confirmed(self, tag: int, multiple: bool) -> None: ...
    def rejected(self, tag: int, multiple: bool) -> None: ...
    def returned(self, message_id: str) -> None: ...


class Listener(Protocol):
    """What happens to the connection goes here: link.Link."""

    def on_ready(self, session: "Session") -> None: ...
    def on_blocked(self, reason: str | None) -> None: ...
    def on_lost(self, error: BrokerError, by_message: bool) -> None: ...
    def on_gone(self) -> None: ...


class Session:
    """Publishes between on_ready and on_lost."""

    def __init__(self, loop: IOLoop, settings: LinkSettings, answers: Answers, listener: Listener) -> None:
        self._loop = loop
        self._settings = settings
        self._answers = answers
        self._listener = listener
        self._connection: JoinedConnection | None = None
        self._channel: Any = None
        self._lost = False
        #: Nothing is left of it.
        self.gone = False
        self._failures = NodeFailures(settings.address)
        self._nodes = session_parameters(settings)
        self._workflow: Any = None
        self._late: Any = None
        self._try_next_node()

    @property
    def waiting_for(self) -> str | None:
        """The step that the broker has not answered yet, in words; None once the session is ready, or lost."""
        if self._connection is None:
            return None if self._lost else "no connection to the broker yet"
        return f"the broker has not answered {self._connection.waiting_for} yet" if self._late else None

    def publish(self, message: Message) -> None:
        """Send it now, or with the others of a `joined` block."""
        # Mandatory: a message for a queue that is gone comes back, where it would be confirmed and dropped.
        self._channel.basic_publish("", self._settings.queue.name, message.body, message.properties, True)

    def joined(self) -> AbstractContextManager[None]:
        """What is published inside the block goes out together."""
        joined: AbstractContextManager[None] = self._channel.connection.joined()
        return joined

    def declare(self, then: Callable[[object], None]) -> None:
        """Make the queue, or see that it is there."""
        queue = self._settings.queue
        if self._settings.create:
            self._channel.queue_declare(queue.name, durable=True, arguments=queue.arguments, callback=then)
        else:
            self._channel.queue_declare(queue.name, passive=True, callback=then)

    def close(self) -> None:
        """Close in order; the listener is called when the broker has answered."""
        if self._connection is None:
            self._nodes.clear()
            self._workflow.abort()
        elif self._connection.is_open:
            self._connection.close()

    def drop(self) -> None:
        """Close the socket without a goodbye."""
        if self._connection is not None and not self._connection.is_closed:
            self._connection.drop()

    def _try_next_node(self) -> None:
        self._node = self._nodes.pop(0)
        self._workflow = JoinedConnection.create_connection([self._node], self._on_connected, self._loop)

    def _on_connected(self, outcome: object) -> None:
        if not isinstance(outcome, JoinedConnection):
            self._failures.add(self._node, outcome)
            if self._nodes:
                self._try_next_node()
            else:
                self._end(self._failures.error())
            return
        self._connection = outcome
        self._late = self._loop.call_later(self._settings.answer_timeout, self._give_up)
        outcome.add_on_close_callback(lambda _, reason: self._end(reason))
        outcome.add_on_connection_blocked_callback(lambda _, frame: self._listener.on_blocked(frame.method.reason))
        outcome.add_on_connection_unblocked_callback(lambda _, __: self._listener.on_blocked(None))
        outcome.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(lambda _, __, properties, ___: self._answers.returned(properties.message_id))
        self.declare(lambda _: channel.confirm_delivery(self._on_answer, lambda _: self._ready()))

    def _ready(self) -> None:
        self._stop_timer()
        self._listener.on_ready(self)

    def _give_up(self) -> None:
        self._late = None
        if self._connection is not None and not self._connection.is_closed:
            self._connection.give_up(self._settings.answer_timeout)

    def _stop_timer(self) -> None:
        if self._late is not None:
            self._loop.remove_timeout(self._late)
            self._late = None

    def _on_answer(self, frame: Any) -> None:
        answer = frame.method
        receive = self._answers.confirmed if type(answer) is pika.spec.Basic.Ack else self._answers.rejected
        receive(answer.delivery_tag, answer.multiple)

    def _on_channel_closed(self, _: object, reason: Exception) -> None:
        if isinstance(reason, pika.exceptions.ChannelClosedByBroker):
            self._lose(reason)
            self.close()

    def _lose(self, reason: Exception) -> None:
        self._stop_timer()
        if not self._lost:
            self._lost = True
            error = translate_published(reason, self._settings.address)
            self._listener.on_lost(error, refuses_a_message(reason, error))

    def _end(self, reason: Exception) -> None:
        self._lose(reason)
        self.gone = True
        self._listener.on_gone()


def session_parameters(settings: LinkSettings) -> list[pika.ConnectionParameters]:
    """The parameters for each node, in random order; raises InvalidAddress."""
    chosen = ConnectionSettings(name=settings.name, blocked_timeout=settings.blocked_timeout)
    return connection_parameters(settings.address, chosen)


def refuses_a_message(reason: Exception, error: BrokerError) -> bool:
    """Whether a message cost the session: for what it is, its user, or its queue. `error` is ours for `reason`."""
    if isinstance(reason, pika.exceptions.ChannelClosedByBroker):
        return isinstance(error, AccessRefused | QueueMissing | MessageRefused)
    return isinstance(error, MessageRefused)
