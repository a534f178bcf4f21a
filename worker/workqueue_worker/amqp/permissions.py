"""Whether a user may do what a worker does, tried without doing it.

RabbitMQ looks at the permission first and at the arguments later (rabbit_channel.erl). So each try has an argument that
is always refused: 406 then means that the permission is there, and 403 that it is missing. No task is taken, no queue
made, no message stored. The permission to write is tried with a message for a queue that cannot exist, which returns.
"""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pika import exceptions as amqp
from workqueue_broker.address import BrokerAddress
from workqueue_broker.answering import ANSWER_SECONDS
from workqueue_broker.connection import ConnectionSettings, broker_errors
from workqueue_broker.declaration import QueueCounts, QueueDeclaration, read_counts
from workqueue_broker.errors import AccessRefused, BrokerError

from workqueue_worker.amqp.session import CalledChannel, Session

#: Seconds that an alarm may block the try to write; a worker then goes on, as its acks are not blocked.
BLOCKED_SECONDS = 1.0


class Trials:
    """Tries over one connection what a worker needs. Each try has a channel of its own, as the broker closes it."""

    def __init__(
        self,
        address: BrokerAddress,
        name: str,
        alive: Callable[[], None] = lambda: None,
        answer_timeout: float = ANSWER_SECONDS,
    ) -> None:
        """Connects with the first try. `name`: of the connection, shown in the management UI.

        `alive` is called every few seconds while a step waits, for at most `answer_timeout` seconds.
        """
        self._address = address
        self._settings = ConnectionSettings(name=name, blocked_timeout=BLOCKED_SECONDS, answer_timeout=answer_timeout)
        self._alive = alive
        self._session: Session | None = None

    def __enter__(self) -> "Trials":
        return self

    def __exit__(self, *_: object) -> None:
        if self._session:
            with contextlib.suppress(amqp.AMQPError, OSError):
                self._session.close()

    def read(self, queue: str) -> None:
        """Raise AccessRefused when the user may not take tasks from the queue, missing or not."""
        with read_permission(queue):
            self._try(lambda channel: _consume(channel, queue))

    def configure(self, queue: str) -> None:
        """Raise AccessRefused when the user may not declare the queue, missing or not."""
        with configure_permission(queue):
            self._try(lambda channel: channel.queue_declare(queue, arguments={"x-message-ttl": -1}))

    def write(self) -> None:
        """Raise AccessRefused when the user may not publish a copy of a task.

        Returns also when an alarm of the broker blocks publishers, as it then answers nothing.
        """
        with write_permission():
            self._try(_publish_to_no_queue)

    def counts(self, queue: QueueDeclaration, *, declared: bool) -> QueueCounts:
        """The live counts of an existing queue; raises a BrokerError.

        `declared`: also raise QueueMismatch or AccessRefused when it cannot be declared as a worker would do.
        """
        session = self._connected()
        with broker_errors(self._address):
            channel: Any = session.channel()
            counts = read_counts(channel, queue.name)
            return queue.declare(channel) if declared else counts

    def _try(self, attempt: Callable[[CalledChannel], object]) -> None:
        session = self._connected()
        try:
            with broker_errors(self._address):
                attempt(session.channel())
        except BrokerError as error:
            if not _is_allowed(error.__cause__):
                raise

    def _connected(self) -> Session:
        """The connection, or a new one: an alarm ends it."""
        if self._session and self._session.closed:
            self.__exit__()
            self._session = None
        if self._session is None:
            self._session = Session(self._address, self._settings, self._alive)
        return self._session


def read_permission(queue: str) -> contextlib.AbstractContextManager[None]:
    """Adds the remedy to the broker's text when the block may not consume from the queue."""
    return _permission("read", f"queue {queue!r}")


def configure_permission(queue: str) -> contextlib.AbstractContextManager[None]:
    """The same for a block that declares the queue."""
    return _permission("configure", f"queue {queue!r}", ", or make the queues yourself and set --declare Never")


def write_permission() -> contextlib.AbstractContextManager[None]:
    """The same for a block that publishes a copy."""
    return _permission("write", "exchange 'amq.default', over which it publishes the copies of failed tasks")


def _consume(channel: CalledChannel, queue: str) -> None:
    channel.call(channel.raw.basic_consume, queue, _ignore, arguments={"x-priority": "none"})


def _publish_to_no_queue(channel: CalledChannel) -> None:
    channel.publish(f"workqueue-check-{uuid.uuid4()}")


def _is_allowed(answer: object) -> bool:
    """True for what the broker answers once it has found the permission, and when an alarm keeps it from answering."""
    if isinstance(answer, amqp.ChannelClosedByBroker):
        return answer.reply_code in (404, 406)
    return isinstance(answer, amqp.ConnectionBlockedTimeout)


@contextmanager
def _permission(permission: str, on: str, otherwise: str = "") -> Iterator[None]:
    try:
        yield
    except AccessRefused as error:
        cause = error.__cause__
        if not isinstance(cause, amqp.ChannelClosedByBroker):  # the user cannot even connect
            raise
        raise AccessRefused(
            f"{error}; a worker needs the {permission} permission on {on}: "
            f"set it with rabbitmqctl set_permissions{otherwise}"
        ) from cause


def _ignore(*_: object) -> None:
    """Takes no message: the broker never starts this consumer."""
