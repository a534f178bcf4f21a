"""Two programs of this machine that need one thing: the second waits, shows for what, and goes on after the first."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
from pathlib import Path
from dev.local_cluster.locks import locked
with locked(Path(sys.argv[1]), sys.argv[2], shared=sys.argv[3] == "shared"):
    print("held", flush=True)
    sys.stdin.readline()
"""
SECONDS = 50
pytestmark = pytest.mark.timeout(180)  # programs start slowly on a busy machine


class Program:
    """Holds the lock, once it can, until it ends."""

    def __init__(self, folder: Path, use: str, how: str) -> None:
        self._output = folder / f"{use}.out"
        command = [
            sys.executable,
            "-c",
            PROGRAM,
            str(folder / "locks" / "tests"),
            use,
            how,
        ]
        with self._output.open("w") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=output, stderr=output)

    def until_it_says(self, words: str) -> None:
        wait_until(lambda: words in self._output.read_text(), SECONDS, f"it says {words!r}; see {self._output}")

    @property
    def holds(self) -> bool:
        return "held" in self._output.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


class Start(Protocol):
    """Starts a program that uses what is locked."""

    def __call__(self, use: str, how: str = "alone") -> Program: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(use: str, how: str = "alone") -> Program:
            program = Program(tmp_path, use, how)
            stack.callback(program.kill)
            return program

        yield run


def test_the_second_waits_for_the_first_by_name_and_goes_on_when_that_is_killed(start: Start) -> None:
    first = start("the build")
    first.until_it_says("held")
    second = start("another build")
    second.until_it_says(f"Waiting for the build (process {first.process.pid}, {ROOT}) …")
    assert not second.holds
    first.kill()
    second.until_it_says("held")


@pytest.mark.parametrize(("first", "second"), [("shared", "alone"), ("alone", "shared")])
def test_several_share_and_one_that_wants_it_alone_waits(start: Start, first: str, second: str) -> None:
    holder = start("the first", first)
    holder.until_it_says("held")
    waiting = start("the second", second)
    waiting.until_it_says("Waiting for the first")
    assert not waiting.holds
    holder.kill()
    waiting.until_it_says("held")


def test_those_that_share_wait_for_none_of_each_other(start: Start) -> None:
    start("the first", "shared").until_it_says("held")
    second = start("the second", "shared")
    second.until_it_says("held")


def test_a_suite_of_another_clone_is_waited_for(start: Start, tmp_path: Path) -> None:
    """Here with no version of RabbitMQ, so that it has nothing to do once it may begin."""
    (tmp_path / "workqueue").symlink_to(tmp_path)
    suite = start("the cluster tests")
    suite.until_it_says("held")
    output = tmp_path / "suite.out"
    command = [sys.executable, "-m", "dev.broker_tests"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    with output.open("w") as file:
        waiting = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file)
    said = f"Waiting for the cluster tests (process {suite.process.pid}, {ROOT}) …"
    wait_until(lambda: said in output.read_text(), SECONDS, f"it waits; see {output}")
    assert waiting.poll() is None
    suite.kill()
    assert waiting.wait(SECONDS) == 0


def test_a_suite_that_a_program_with_the_turn_starts_shares_that_turn(start: Start, tmp_path: Path) -> None:
    """As `make test` starts two side by side, while a suite of another checkout would wait."""
    (tmp_path / "workqueue").symlink_to(tmp_path)
    program = "import subprocess, sys\nfrom dev.test_turn import turn\n"
    program += (
        "with turn('all tests'): sys.exit(subprocess.run([sys.executable, '-m', 'dev.broker_tests']).returncode)\n"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, timeout=SECONDS, check=False)
    assert done.returncode == 0


BUILD = """
import sys
from tests.support.rabbitmq_versions import _build_folder, _folder
_build_folder("4.0")
print(_folder("4.0"))
"""
#: Makes the folder that it is asked for, slowly enough to be run twice at once, and writes down that it did.
MMDEBSTRAP = """#!/bin/sh
for folder; do :; done
echo "$folder" >> {calls}
while [ ! -e {release} ]; do sleep 0.02; done
mkdir -p "$folder/usr/lib/rabbitmq/lib/rabbitmq_server-4.0.5" "$folder/etc"
"""


def test_a_debian_folder_that_two_need_is_built_once(tmp_path: Path) -> None:
    calls, release, cache = tmp_path / "calls", tmp_path / "release", tmp_path / "cache"
    program = tmp_path / "bin" / "mmdebstrap"
    program.parent.mkdir()
    program.write_text(MMDEBSTRAP.format(calls=calls, release=release))
    program.chmod(0o755)
    left = cache / "workqueue" / "rabbitmq-4.0.part"  # by a build that was killed
    left.mkdir(parents=True)
    environment = {"PATH": f"{program.parent}:/usr/sbin:/usr/bin:/sbin:/bin", "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-c", BUILD]
    first, second = (
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    wait_until(calls.exists, SECONDS, "one of them builds")
    release.touch()
    answers = [one.communicate(timeout=SECONDS) for one in (first, second)]
    assert [out for out, _ in answers] == [f"{cache}/workqueue/rabbitmq-4.0\n"] * 2, answers
    assert calls.read_text().splitlines() == [str(left)]
    assert not left.exists()
