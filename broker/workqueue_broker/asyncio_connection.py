"""A connection in an event loop: pika's protocol on asyncio's transport, many declarations in flight.

Every step can be cancelled, which drops the socket: no thread waits for a broker. What the broker sends is refused at
the border when it is more than was asked for: the library itself collects whatever comes.
"""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pika
from pika import exceptions as amqp
from pika import spec
from pika.connection import Connection

from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import (
    CONNECT_TIMEOUT_SECONDS,
    HANDSHAKE_TIMEOUT_SECONDS,
    ConnectionSettings,
    NodeFailures,
    connection_parameters,
    translate,
)
from workqueue_broker.declaration import QueueCounts, QueueDeclaration
from workqueue_broker.errors import AccessRefused, BrokerError, BrokerUnavailable
from workqueue_broker.resolving import Info, resolve

#: Seconds that a broker has to answer a polite close.
CLOSE_SECONDS = 1.0
#: Frames that may come beyond two for each of ours: of a handshake, heartbeats, notices that we are blocked.
UNASKED_FRAMES = 100
#: Bytes that are given to the library at once, which copies what is left of them for each frame.
PIECE_BYTES = 4096

_FRAME = struct.Struct(">BHL")


class _Unasked(amqp.AMQPError):  # type: ignore[misc] # pika has no type hints
    """The broker sends more than was asked for."""


class _Library(Connection):  # type: ignore[misc] # pika has no type hints
    """The library's protocol; the `_adapter` methods are what it asks of a subclass."""

    _transport: asyncio.Transport

    def __init__(
        self,
        parameters: pika.ConnectionParameters,
        transport: asyncio.Transport,
        on_open: Callable[[Any], None],
        on_end: Callable[[Any, Exception], None],
    ) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        super().__init__(parameters, on_open, on_end, on_end, internal_connection_workflow=False)

    def take(self, data: bytes) -> None:
        """Read what the broker sent; whatever it fails with is the connection's end."""
        try:
            for start in range(0, len(data), PIECE_BYTES):
                self._on_data_available(data[start : start + PIECE_BYTES])
                if self._transport.is_closing():
                    return
        except amqp.AMQPError as error:
            self.end(error)
        except Exception as error:  # noqa: BLE001 - the border: a broker's bytes may fail the library in any way
            self.end(_Unasked(f"it sends what is no AMQP ({type(error).__name__})"))

    def start(self) -> None:
        self._on_stream_connected()

    def end(self, error: Exception | None) -> None:
        """The stream is gone, or is to go."""
        self._transport.abort()
        if not self.is_closed:
            self._on_stream_terminated(error or (None if self._error else amqp.StreamLostError("the stream ended")))

    def _read_frame(self) -> tuple[int, Any]:
        buffer = self._frame_buffer
        if len(buffer) >= _FRAME.size and not buffer.startswith(b"AMQP"):
            kind, _, size = _FRAME.unpack_from(buffer)
            self._check(kind, size)
        frame: tuple[int, Any] = super()._read_frame()
        return frame

    def _check(self, kind: int, size: int) -> None:
        if kind not in (spec.FRAME_METHOD, spec.FRAME_HEADER, spec.FRAME_BODY, spec.FRAME_HEARTBEAT):
            raise _Unasked("it sends what is no AMQP; is the port AMQP's, and TLS on the side that expects it?")
        if size > self.params.frame_max:
            raise _Unasked(f"it sends a frame of {size} bytes, more than the {self.params.frame_max} of frame_max")
        if kind in (spec.FRAME_HEADER, spec.FRAME_BODY):
            raise _Unasked("it sends a message, and nothing is consumed here")
        if self.frames_received > 2 * self.frames_sent + UNASKED_FRAMES:
            raise _Unasked(f"it sends frames that nothing asked for: {self.frames_received}")

    def _adapter_call_later(self, delay: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_later(delay, callback)

    def _adapter_remove_timeout(self, timeout_id: asyncio.TimerHandle) -> None:
        timeout_id.cancel()

    def _adapter_add_callback_threadsafe(self, callback: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(callback)

    def _adapter_connect_stream(self) -> None:
        """Done before."""

    def _adapter_disconnect_stream(self) -> None:
        """The library is called afterwards, as it asks for."""
        self._transport.abort()
        self._loop.call_soon(self.end, None)

    def _adapter_emit_data(self, data: bytes) -> None:
        self._transport.write(data)


class _Stream(asyncio.Protocol):
    """Hands on what the transport reports."""

    library: _Library | None = None

    def data_received(self, data: bytes) -> None:
        if self.library:
            self.library.take(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self.library:
            self.library.end(error)


class AsyncioConnection:
    """An open connection."""

    def __init__(self, address: BrokerAddress, node: BrokerAddress) -> None:
        """`node`: the address with only the node that is connected with."""
        self._address = address
        self._node = node
        self._library: _Library | None = None
        loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()

    @property
    def is_open(self) -> bool:
        """Whether the broker has not ended it as far as we know."""
        return self._library is not None and bool(self._library.is_open)

    @property
    def most_channels(self) -> int:
        """Channels that the broker allows at once."""
        return int(self._library.params.channel_max) or 65535 if self._library else 0

    @classmethod
    async def open(cls, address: BrokerAddress, settings: ConnectionSettings) -> "AsyncioConnection":
        """Connect to the first node that answers; raises a BrokerError that names what is wrong with each of them."""
        failures = NodeFailures(address)
        # In a thread: reading the authorities that the system knows takes long.
        for parameters in await asyncio.to_thread(connection_parameters, address, settings):
            try:
                return await cls._open_at(address, parameters)
            except Exception as error:  # noqa: BLE001 - the library's errors of connecting have no common class
                failures.add(parameters, error)
        raise failures.error() from failures.cause

    @classmethod
    async def _open_at(cls, address: BrokerAddress, parameters: pika.ConnectionParameters) -> "AsyncioConnection":
        failure: OSError = OSError("the host name has no address")
        node = replace(address, hosts=((parameters.host, parameters.port),))
        looked_up = resolve(parameters.host, parameters.port, address)
        infos = await _in_time(looked_up, CONNECT_TIMEOUT_SECONDS, node, "its name")
        for info in infos:
            connection = cls(address, node)
            try:
                await _in_time(connection._connect(parameters, info), CONNECT_TIMEOUT_SECONDS, node, "a connection")
                await _in_time(connection._opened, HANDSHAKE_TIMEOUT_SECONDS, node, "AMQP's greeting")
            except OSError as error:
                connection.drop()
                if isinstance(error, AccessRefused):  # by the node, whichever of its addresses was used
                    raise
                failure = error
            except BaseException:
                connection.drop()
                raise
            else:
                return connection
        raise failure

    async def _connect(self, parameters: pika.ConnectionParameters, info: Info) -> None:
        family, _, protocol, _, (ip, *_) = info
        context = parameters.ssl_options.context if parameters.ssl_options else None
        transport, stream = await asyncio.get_running_loop().create_connection(
            _Stream,
            ip,
            parameters.port,
            family=family,
            proto=protocol,
            ssl=context,
            server_hostname=parameters.host if context else None,
        )
        self._library = stream.library = _Library(parameters, transport, self._on_open, self._on_end)
        self._library.start()

    def _on_open(self, _library: object) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _on_end(self, _library: object, error: Exception) -> None:
        if not self._opened.done():
            self._opened.set_exception(translate(error, self._node))
            self._opened.exception()  # the caller may wait no longer
        if not self._ended.done():
            self._ended.set_result(None)

    def drop(self) -> None:
        """Close the socket now, without closing the connection in order."""
        if self._library is not None:
            self._library.end(amqp.ConnectionOpenAborted("given up"))

    async def close(self) -> None:
        """Close it politely, if the broker answers soon."""
        if self.is_open and self._library is not None:
            self._library.close()
            await asyncio.wait((self._ended,), timeout=CLOSE_SECONDS)
        self.drop()

    async def channel(self) -> "Channel":
        """A new channel; raises a BrokerError."""
        if self._library is None or not self._library.is_open:
            raise BrokerUnavailable(f"{self._address}: the connection was lost")
        return await Channel.open(self._library, self._address)


class Channel:
    """One channel: one declaration at a time. The broker closes it when it refuses one."""

    def __init__(self, address: BrokerAddress) -> None:
        self._address = address
        self._channel: Any = None
        self._answer: asyncio.Future[Any] | None = None
        self._ended: BrokerError | None = None

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return self._ended is None

    @classmethod
    async def open(cls, library: Any, address: BrokerAddress) -> "Channel":
        """On a connection that is open; raises a BrokerError."""
        made = cls(address)

        def opens(answered: Callable[[Any], None]) -> None:
            made._channel = library.channel(on_open_callback=answered)
            made._channel.add_on_close_callback(made._on_close)

        await made._ask(opens)
        return made

    async def declare(self, queue: QueueDeclaration) -> QueueCounts:
        """Create the queue, or confirm that it is as we declare it; raises a BrokerError, QueueMismatch among them."""
        return await self._counts(queue=queue.name, durable=True, arguments=queue.arguments)

    async def read_counts(self, name: str) -> QueueCounts:
        """Passive declare: the live counts; raises a BrokerError, QueueMissing among them.

        A quorum queue without a leader answers 0 and 0 (RabbitMQ rabbit_quorum_queue.erl stat/2).
        """
        return await self._counts(queue=name, passive=True)

    async def _counts(self, **declaration: Any) -> QueueCounts:
        ok = await self._ask(lambda answered: self._channel.queue_declare(callback=answered, **declaration))
        return QueueCounts(messages_ready=ok.method.message_count, consumers=ok.method.consumer_count)

    async def _ask(self, send: Callable[[Callable[[Any], None]], None]) -> Any:
        if self._ended:
            raise self._ended
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answer = answer
        try:
            send(lambda result: None if answer.done() else answer.set_result(result))
        except Exception as error:
            raise translate(error, self._address) from error
        return await answer

    def _on_close(self, _channel: object, reason: Exception) -> None:
        self._ended = translate(reason, self._address)
        if self._answer and not self._answer.done():
            self._answer.set_exception(self._ended)
            self._answer.exception()  # the caller may wait no longer


async def _in_time(work: Any, seconds: float, address: BrokerAddress, what: str) -> Any:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise BrokerUnavailable(f"{address} cannot be used now: {what} timed out after {seconds:g} s") from error
