"""Frames with content headers are read as the library reads them, and the library's parts that are relied on exist."""

import pika
from pika import frame
from workqueue_worker.amqp.header_frames import EveryHeader, ReadingConnection


class Buffer:
    """The library's half of a connection that reads frames."""

    def __init__(self, data: bytes) -> None:
        self._frame_buffer = data

    def _read_frame(self) -> tuple[int, object]:
        found: tuple[int, object] = frame.decode_frame(self._frame_buffer)
        return found


class Reader(EveryHeader, Buffer):
    pass


def test_frames_are_those_of_the_library_however_much_of_them_is_here() -> None:
    properties = pika.BasicProperties(headers={"a": 1}, message_id="m")
    whole = frame.Header(7, 2**40, properties).marshal()
    for here in range(1, len(whole)):
        assert Reader(whole[:here])._read_frame() == (0, None)
    length, found = Reader(whole + b"more")._read_frame()
    assert (length, found.channel_number, found.body_size) == (len(whole), 7, 2**40)
    assert (found.properties.headers, found.properties.message_id) == ({"a": 1}, "m")
    assert isinstance(Reader(frame.Heartbeat().marshal())._read_frame()[1], frame.Heartbeat)


def test_what_is_relied_on_of_the_library_is_there() -> None:
    """pyproject.toml allows pika 1.4.2 to 2. Who raises that looks here first: these names are the library's own."""
    assert (1, 4, 2) <= tuple(int(part) for part in pika.__version__.split(".")[:3]) < (2,)
    assert ReadingConnection._read_frame is EveryHeader._read_frame
    assert callable(pika.SelectConnection._read_frame)
    assert "_frame_buffer" in pika.SelectConnection._on_data_available.__code__.co_names
    assert "_impl_class" in pika.BlockingConnection.__init__.__code__.co_varnames
