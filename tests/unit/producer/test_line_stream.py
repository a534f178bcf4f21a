"""Lines of a stream, however its bytes come."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_producer.interruption import Interruption
from workqueue_producer.line_stream import LineStream
from workqueue_producer.options import parse
from workqueue_producer.source import Source
from workqueue_producer.task_file import read_lines

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def listening() -> Iterator[Interruption]:
    """The signals' handlers are as before afterwards."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    interruption = Interruption()
    interruption.listen()
    try:
        yield interruption
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(interruption._awake)
        os.close(interruption._waker)


class SignalAtStep:
    """SIGINT comes just before the `step`-th line of the producer's code that runs inside the block."""

    def __init__(self, step: int) -> None:
        self._left = step

    @property
    def came(self) -> bool:
        return self._left <= 0

    def __enter__(self) -> "SignalAtStep":
        self._outer = sys.gettrace()
        sys.settrace(self._on_call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._outer)

    def _on_call(self, frame: FrameType, event: str, _: Any) -> Any:
        return self._on_line if "workqueue_producer" in frame.f_code.co_filename else None

    def _on_line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            self._left -= 1
            if self._left == 0:
                signal.raise_signal(signal.SIGINT)
        return self._on_line


@pytest.mark.parametrize("blocks", [[b"0\n1\n2", b"\n3\n"], [b"0\n", b"1\n2\n", b"3\n"]], ids=len)
def test_a_signal_at_any_step_of_reading_a_stream_loses_no_byte(blocks: list[bytes], tmp_path: Path) -> None:
    file = tmp_path / "stream"
    os.mkfifo(file)
    came = True
    step = 0
    while came:
        step += 1
        with listening() as interruption, ExitStack() as left:
            source, lines, coming = Source(parse(["--file", str(file)], {}), interruption), [], iter(blocks)
            stream = source._stream
            assert stream is not None
            left.callback(os.close, stream._descriptor)
            writer = left.enter_context(file.open("wb", buffering=0))
            written = next(coming)
            writer.write(written)
            with SignalAtStep(step) as at:
                for task in source:
                    lines.append(task.body)
                    block = next(coming, b"")
                    written += block
                    writer.write(block) if block else writer.close()
            came = at.came
            lines.extend(task.body for task in source.rest())
            writer.close()
            unread = os.read(stream._descriptor, 100)
            assert b"".join(line + b"\n" for line in lines) + b"".join(stream._parts) + unread == written


@given(blocks=st.lists(st.binary(max_size=20) | st.text("a\r\n", max_size=5).map(str.encode), max_size=6))
def test_a_stream_has_the_lines_of_a_file_however_its_bytes_come(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[bytes]
) -> None:
    reader, writer = os.pipe()
    stream = LineStream(reader, Interruption())
    for block in blocks:
        os.write(writer, block)
        if block:
            stream._read()
    os.close(writer)
    file = tmp_path_factory.mktemp("lines") / "file"
    file.write_bytes(b"".join(blocks))
    with file.open("rb") as expected:
        assert list(stream) == list(read_lines(expected))
    assert stream.ended
    os.close(reader)


def test_of_a_stream_that_goes_on_the_rest_is_what_was_read(tmp_path: Path) -> None:
    stream = tmp_path / "stream"
    os.mkfifo(stream)
    source = Source(parse(["--file", str(stream)], {}), Interruption())
    with stream.open("wb", buffering=0) as writer:
        writer.write(b"1\n2\n3\nhalf")
        assert next(iter(source)).body == b"1"
        writer.write(b" a line\n4\n")
        assert [task.body for task in source.rest()] == [b"2", b"3", b"half a line", b"4"]
        assert source.is_unread


def test_a_stream_that_was_at_its_end_is_read_wholly(tmp_path: Path) -> None:
    stream = tmp_path / "stream"
    os.mkfifo(stream)
    source = Source(parse(["--file", str(stream)], {}), Interruption())
    with stream.open("wb", buffering=0) as writer:
        writer.write(b"1\n2\n")
        assert next(iter(source)).body == b"1"
    assert [task.body for task in source.rest()] == [b"2"]
    assert not source.is_unread
