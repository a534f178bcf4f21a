"""No step of a connection waits without a limit, and the error names the step.

The library limits TCP, TLS and login. It waits forever for the resolver and for each answer after the login, such as
queue.declare-ok. `_send_method`, `_terminate_stream`, `_flush_output` and `_reap_last_connection_workflow_error` are
the library's own: tests/broker/test_steps.py holds what is relied on here.
"""

from collections.abc import Callable
from typing import Any

import pika
from pika import exceptions as amqp
from pika.adapters.utils import connection_workflow as workflow

#: Seconds for the broker's answer to one method. A quorum queue is declared within seconds, also on a slow broker.
ANSWER_SECONDS = 30.0
#: Seconds for a node's name, all of its addresses, and the login; CONNECT and HANDSHAKE limit each address.
NODE_SECONDS = 60.0


class NoAnswer(amqp.AMQPConnectionError):  # type: ignore[misc] # pika has no type hints
    """A step took longer than its limit; the message names both."""


class Answering:
    """To be put before one of the library's connections: limits the connecting, and names what is not answered."""

    params: Any
    #: The last method that has an answer, such as queue.declare; None after one that has none.
    waiting_for: str | None = None

    @classmethod
    def create_connection(
        cls, connection_configs: Any, on_done: Callable[[object], None], custom_ioloop: Any, workflow: Any = None
    ) -> Any:
        """The library's, and `on_done` gets NoAnswer after NODE_SECONDS for each of the nodes."""
        connecting = _Connecting(on_done, custom_ioloop, NODE_SECONDS * len(connection_configs))
        connecting.workflow = super().create_connection(  # type: ignore[misc] # of the connection that follows
            connection_configs, connecting.done, custom_ioloop, workflow
        )
        return connecting.workflow

    def give_up(self, seconds: float) -> None:
        """Close the socket now; waiting callers get NoAnswer, which names `seconds`."""
        node = f"{self.params.host}:{self.params.port}"
        error = NoAnswer(f"{node} did not answer {self.waiting_for or 'in time'} within {seconds:g} s")
        self._terminate_stream(error)  # type: ignore[attr-defined] # of the connection that follows

    def _send_method(self, channel_number: int, method: Any, content: Any = None) -> None:
        self.waiting_for = method.NAME.lower() if method.synchronous else None
        super()._send_method(channel_number, method, content)  # type: ignore[misc] # of the connection that follows


class AnsweringConnection(Answering, pika.SelectConnection):  # type: ignore[misc] # pika has no type hints
    """The library's default connection, with that."""


class BlockingConnection(pika.BlockingConnection):  # type: ignore[misc] # pika has no type hints
    """A blocking connection each of whose calls ends: with the answer, or with NoAnswer, which costs the connection.

    A confirm is no answer in this sense: a broker may take its time for it.
    """

    def __init__(self, parameters: pika.ConnectionParameters, kind: type[Answering], answer_seconds: float) -> None:
        self._answer_seconds = answer_seconds
        super().__init__(parameters, kind)

    def _flush_output(self, *waiters: Callable[[], bool]) -> None:
        connection = self._impl
        if connection.waiting_for is None:
            super()._flush_output(*waiters)
            return
        late = connection.ioloop.call_later(self._answer_seconds, lambda: connection.give_up(self._answer_seconds))
        try:
            super()._flush_output(*waiters)
        finally:
            connection.ioloop.remove_timeout(late)
            connection.waiting_for = None

    @staticmethod
    def _reap_last_connection_workflow_error(error: BaseException) -> BaseException:
        return error  # the library's way drops the phase in which it failed


class _Connecting:
    """One workflow of the library's, and the end of our patience with it."""

    def __init__(self, on_done: Callable[[object], None], loop: Any, seconds: float) -> None:
        self.workflow: Any = None
        self._on_done = on_done
        self._loop = loop
        self._seconds = seconds
        self._given_up = False
        self._timer = loop.call_later(seconds, self._give_up)

    def done(self, outcome: object) -> None:
        self._loop.remove_timeout(self._timer)
        if self._given_up and isinstance(outcome, workflow.AMQPConnectorException):
            text = f"no connection within {self._seconds:g} s: its name is not resolved, or no address answers"
            outcome = NoAnswer(text)
        self._on_done(outcome)

    def _give_up(self) -> None:
        self._given_up = True
        self.workflow.abort()
