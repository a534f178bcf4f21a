"""A connection on our own loop, opened, called and closed as if it were blocking."""

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pika import exceptions as amqp
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, NodeFailures, connection_parameters
from workqueue_broker.joined import JoinedConnection

from workqueue_worker.amqp.header_frames import EveryHeader
from workqueue_worker.amqp.loop import Loop


class ConsumingConnection(EveryHeader, JoinedConnection):
    """Reads every message, and sends many acks at once."""


class Session:
    """One connection; its calls run the loop until the broker has answered, or has not within the limit."""

    def __init__(
        self, address: BrokerAddress, settings: ConnectionSettings, alive: Callable[[], None] = lambda: None
    ) -> None:
        """Connect to the first node that answers; raises a BrokerError.

        `alive` is called every few seconds while a call waits, so that a slow broker does not look like a stuck worker.
        """
        self.loop = Loop(alive)
        self._answer_timeout = settings.answer_timeout
        #: Why the connection is over; None while it is not.
        self.closed: Exception | None = None
        try:
            self.connection = self._connect(address, settings)
        except BaseException:
            self.loop.close()
            raise

    def _connect(self, address: BrokerAddress, settings: ConnectionSettings) -> ConsumingConnection:
        failures = NodeFailures(address)
        for parameters in connection_parameters(address, settings):
            outcomes: list[object] = []
            ConsumingConnection.create_connection([parameters], outcomes.append, custom_ioloop=self.loop)
            self.loop.run_until(lambda outcomes=outcomes: outcomes, math.inf)  # type: ignore[misc] # it has its limits
            if isinstance(outcomes[0], ConsumingConnection):
                outcomes[0].add_on_close_callback(self._on_closed)
                return outcomes[0]
            failures.add(parameters, outcomes[0])
        raise failures.error() from failures.cause

    def channel(self) -> "CalledChannel":
        """Open a channel."""
        return CalledChannel(self)

    def close(self) -> None:
        """Say goodbye, and return when the broker has answered, or the connection is lost."""
        with suppress(amqp.ConnectionWrongStateError):  # it is closing already, or closed
            self.connection.close()
            self.connection.part()
        self.run_until(lambda: self.closed)
        self.loop.close()

    def run_until(self, fact: Callable[[], object]) -> None:
        """Run the loop until something is so or the connection is over, which it is when the broker does not answer."""
        if not self.loop.run_until(lambda: fact() or self.closed, self._answer_timeout):
            self.connection.give_up(self._answer_timeout)
            self.loop.run_until(lambda: self.closed, math.inf)  # by our own hand

    def _on_closed(self, _connection: object, reason: Exception) -> None:
        self.closed = reason


class CalledChannel:
    """A channel whose calls return the broker's answer, or raise why the channel is closed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        #: Why it is closed; None while it is not.
        self.closed: Exception | None = None
        opened: list[object] = []
        #: The library's own, for what the broker does not answer.
        self.raw: Any = session.connection.channel(on_open_callback=opened.append)
        self.raw.add_on_close_callback(self._on_closed)
        self._run_until(lambda: opened)

    def queue_declare(self, queue: str, **options: object) -> Any:
        """Declare a queue; what QueueDeclaration and read_counts ask of a channel."""
        return self.call(self.raw.queue_declare, queue, **options)

    def call(self, method: Callable[..., object], *arguments: object, **named: object) -> Any:
        """Call one of the library's methods that takes a callback, and return what the callback gets."""
        answers: list[object] = []
        method(*arguments, callback=answers.append, **named)
        self._run_until(lambda: answers)
        return answers[0]

    def publish(self, queue: str) -> None:
        """Publish an empty, transient message, and return when the broker has taken or refused it."""
        answers: list[object] = []
        self.call(self.raw.confirm_delivery, answers.append)
        self.raw.basic_publish("", queue, b"", mandatory=True)
        self._session.connection.waiting_for = "basic.publish"
        self._run_until(lambda: answers)

    def close(self) -> None:
        """Close it in order."""
        self.raw.close()
        self._session.run_until(lambda: self.closed)
        if self._session.closed:
            raise self._session.closed

    def _run_until(self, fact: Callable[[], object]) -> None:
        self._session.run_until(lambda: fact() or self.closed)
        if not fact():
            raise self.closed or amqp.ChannelWrongStateError("the channel is closed")

    def _on_closed(self, _channel: object, reason: Exception) -> None:
        self.closed = reason
