"""Standard streams that are closed, full or without a reader change no exit code of our programs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
from workqueue_broker import standard_streams
standard_streams.protect()
"""


def run(lines: str, end: str = "", *flags: str) -> "subprocess.CompletedProcess[str]":
    command = f'"$0" {" ".join(flags)} -c "$1" {end}; exit ${{PIPESTATUS[0]}}'
    words = ["bash", "-c", command, sys.executable, PROGRAM + lines]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("flags", [(), ("-u",)], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("end", ["| true", ">&-", "> /dev/full", ">&- 2>&- <&-", "2> /dev/full"])
def test_whatever_is_printed_the_exit_code_is_the_program_s(end: str, flags: tuple[str, ...]) -> None:
    lines = "for _ in range(20_000): print('x' * 50)\nprint('y', file=sys.stderr)\nsys.exit(7)\n"
    done = run(lines, end, *flags)
    assert done.returncode == 7
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("flags", [(), ("-u",)], ids=["buffered", "unbuffered"])
def test_everything_that_can_be_written_is_written(flags: tuple[str, ...]) -> None:
    done = run("print('x' * 1_000_000, end='')\nprint('é', file=sys.stderr)\n", "| cat", *flags)
    assert (done.returncode, done.stdout, done.stderr) == (0, "x" * 1_000_000, "é\n")


def test_a_descriptor_that_does_not_wait_gets_everything() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    lines = "print('x' * 1_000_000, end='')\n"
    with subprocess.Popen([sys.executable, "-c", PROGRAM + lines], stdout=writer) as process:
        os.close(writer)
        with open(reader, "rb") as stream:
            assert len(stream.read()) == 1_000_000
    assert process.returncode == 0


def test_a_closed_stream_s_number_goes_to_nothing_else() -> None:
    """Else a library that writes to descriptor 2 would write to the broker."""
    lines = "import socket\nopened = socket.socket().fileno()\nsys.exit(0 if opened > 2 else 1)\n"
    assert run(lines, "<&- >&- 2>&-").returncode == 0


def test_what_was_dropped_is_known() -> None:
    lines = "print('x')\nsys.exit(standard_streams.problem_of(sys.stdout).errno)\n"
    assert run(lines, "> /dev/full").returncode == 28
    assert run("print('x')\nsys.exit(standard_streams.problem_of(sys.stdout) is not None)\n").returncode == 0


def test_what_has_room_again_takes_what_comes_then(tmp_path: Path) -> None:
    """A disk that was full for a while must not silence a worker's log for the rest of its life."""
    lines = """
import resource
full = lambda bytes: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, resource.RLIM_INFINITY))
full(0)
print("dropped", flush=True)
full(1000)
print("written", flush=True)
"""
    done = run(lines, f"> {tmp_path}/out")
    assert (done.returncode, (tmp_path / "out").read_text()) == (0, "written\n")


def test_a_standard_input_that_is_closed_has_nothing_to_read() -> None:
    assert run("sys.exit(7 if sys.stdin.buffer.read() == b'' else 1)\n", "<&-").returncode == 7


@pytest.mark.parametrize("end", ["> /dev/full", ">&-", "2>&-", "> /dev/full 2>&1"])
@pytest.mark.parametrize(("command", "code"), [("exit 65", 65), ("true", 0)])
def test_run_one_has_the_handler_s_exit_code(end: str, command: str, code: int) -> None:
    line = f'"$0" -m workqueue_worker run-one -- sh -c "$1" {end}'
    words = ["bash", "-c", line, sys.executable, command]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
