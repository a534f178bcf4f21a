"""A connection on our own loop, opened, called and closed as if it were blocking."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pika import exceptions as amqp
from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, connection_parameters, translate, why_not_connected
from workqueue_broker.joined import JoinedConnection

from workqueue_worker.amqp.loop import Loop
from workqueue_worker.amqp.reading import EveryHeader


class ConsumingConnection(EveryHeader, JoinedConnection):
    """Reads every message, and sends many acks at once."""


class Session:
    """One connection; its calls run the loop until the broker has answered."""

    def __init__(self, address: BrokerAddress, settings: ConnectionSettings) -> None:
        """Connect to the first node that answers; raises a BrokerError."""
        self.loop = Loop()
        #: Why the connection is over; None while it is not.
        self.closed: Exception | None = None
        parameters = connection_parameters(address, settings)
        self._outcomes: list[object] = []
        ConsumingConnection.create_connection(parameters, self._on_connected, custom_ioloop=self.loop)
        self.loop.run_until(lambda: self._outcomes)
        if not isinstance(self._outcomes[0], ConsumingConnection):
            self.loop.close()
            error = why_not_connected(self._outcomes[0])
            raise translate(error, address) from error
        self.connection = self._outcomes[0]

    def channel(self) -> "CalledChannel":
        """Open a channel."""
        return CalledChannel(self)

    def close(self) -> None:
        """Say goodbye, and return when the broker has answered, or the connection is lost."""
        with suppress(amqp.ConnectionWrongStateError):  # it is closing already, or closed
            self.connection.close()
            self.connection.part()
        self.loop.run_until(lambda: self.closed)
        self.loop.close()

    def _on_connected(self, outcome: object) -> None:
        if isinstance(outcome, ConsumingConnection):
            outcome.add_on_close_callback(self._on_closed)
        self._outcomes.append(outcome)

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
        """Call one of the library's methods that takes a callback, and return what that hears."""
        answers: list[object] = []
        method(*arguments, callback=answers.append, **named)
        self._run_until(lambda: answers)
        return answers[0]

    def close(self) -> None:
        """Close it in order."""
        self.raw.close()
        self._session.loop.run_until(lambda: self.closed)

    def _run_until(self, fact: Callable[[], object]) -> None:
        self._session.loop.run_until(lambda: fact() or self.closed)
        if not fact():
            raise self.closed or amqp.ChannelWrongStateError("the channel is closed")

    def _on_closed(self, _channel: object, reason: Exception) -> None:
        self.closed = reason
