"""Lines of a stream, however its bytes come."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_producer.interruption import Interruption
from workqueue_producer.line_stream import LineStream
from workqueue_producer.options import parse
from workqueue_producer.source import Source
from workqueue_producer.task_file import read_lines

from tests.support.interrupted import SignalAtStep, listening


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
