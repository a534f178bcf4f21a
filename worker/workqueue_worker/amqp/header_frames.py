"""Connections that read every message, whatever its headers hold (headers.py).

`_read_frame` is the library's, and of no use to anybody but it: a test holds what is relied on here.
"""

import struct
from typing import Any

from pika import frame, spec
from workqueue_broker.address import BrokerAddress
from workqueue_broker.answering import AnsweringConnection, BlockingConnection
from workqueue_broker.connection import ConnectionSettings, connect

from workqueue_worker.amqp.headers import Properties

_FRAME = struct.Struct(">BHL")
_CONTENT = struct.Struct(">HHQ")


class EveryHeader:
    """To be put before one of the library's connections: reads content headers its own way."""

    _frame_buffer: bytes

    def _read_frame(self) -> tuple[int, Any]:
        """The next frame and its length; 0 and None while it is not here in full."""
        buffer = self._frame_buffer
        if buffer[0] != spec.FRAME_HEADER or len(buffer) < _FRAME.size + _CONTENT.size:
            return self._read_other_frame()
        _, channel, size = _FRAME.unpack_from(buffer)
        end = _FRAME.size + size
        class_id, _, body_size = _CONTENT.unpack_from(buffer, _FRAME.size)
        if len(buffer) <= end or buffer[end] != spec.FRAME_END or class_id != spec.BasicProperties.INDEX:
            return self._read_other_frame()
        properties = Properties().decode(buffer[_FRAME.size + _CONTENT.size : end])
        return end + 1, frame.Header(channel, body_size, properties)

    def _read_other_frame(self) -> tuple[int, Any]:
        return super()._read_frame()  # type: ignore[misc, no-any-return] # of the connection that follows


class ReadingConnection(EveryHeader, AnsweringConnection):
    """The default connection, with that."""


def connect_reading(address: BrokerAddress, settings: ConnectionSettings) -> BlockingConnection:
    """Open a blocking connection that reads every message; raises a BrokerError."""
    return connect(address, settings, ReadingConnection)
