"""`python -m dev.broker_tests [--kills ROUNDS] VERSION …`: the broker tests on these real RabbitMQs.

VERSION is what tests/support/rabbitmq_choice.py describes: 4.0, docker:4.0 or amqp://guest:guest@127.0.0.1:5672/.

One pytest with some processes, as a broker's tests wait most of the time; each process has its own brokers, of one
version at a time. Of the tests that pass only their number is printed, now and then. What the versions need is
installed first. What failed runs once more (second_run.py). With --kills only the tests marked `kills` run, with so
many rounds.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from dev import second_run
from dev.test_turn import turn
from tests.support.network_link import NetworkLink
from tests.support.rabbitmq_choice import ensure
from tests.support.rabbitmq_versions import NotInstallable

CHECKOUT = Path(__file__).resolve().parents[1]
CACHE = Path(".pytest_cache/broker")
#: Six kept two cores busy, beside the cluster tests' waits.
PROCESSES = 6
#: What pytest-xdist prints as a test starts, and as it passes.
STARTED = re.compile(r"^\S+::.* $")
PASSED = re.compile(r"^\[gw\d+\] \[ *\d+%\] PASSED ")
PROGRESS_SECONDS = 15.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.broker_tests", description=__doc__)
    parser.add_argument("versions", nargs="*", metavar="VERSION")
    parser.add_argument(
        "--kills", type=int, metavar="ROUNDS", help="only the tests marked `kills`, with so many rounds"
    )
    chosen = parser.parse_args()
    return prepared(chosen.versions, ("-m", "kills", "--rounds", str(chosen.kills)) if chosen.kills else ())


def prepared(versions: list[str], chosen: tuple[str, ...]) -> int:
    """Install what is missing, wait for the turn, and run the tests that the flags choose."""
    try:
        for version in versions:
            ensure(version)
        NetworkLink.install()
    except NotInstallable as problem:
        if os.environ.get("CI"):
            print(f"Error: {problem}", file=sys.stderr)
            return 1
    with turn("the broker tests"):  # a second suite beside it would only make both late
        return run(versions, chosen) if versions else 0


def run(versions: list[str], chosen: tuple[str, ...]) -> int:
    """The exit code of the run, or of the second run of what failed in it."""
    at_once = ("--cache-clear", f"--numprocesses={PROCESSES}", "--dist=worksteal", "--durations=15")
    code = pytest_of(versions, *chosen, *at_once)
    return second_run.decided(code, CHECKOUT / CACHE, lambda: pytest_of(versions, *chosen, *second_run.FLAGS))


def pytest_of(versions: list[str], *flags: str) -> int:
    """The exit code of a pytest of the broker tests, which has a cache of its own."""
    flags = ("-v", "-o", f"cache_dir={CACHE}", "--rabbitmq", " ".join(versions), *flags)
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "tests/broker", *flags],
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            show(process.stdout or ())
        except KeyboardInterrupt:  # pytest has received it too, and ends in order
            show(process.stdout or ())
    return process.returncode


def show(lines: Iterable[str]) -> None:
    """Print what a run prints, but for single tests that start and pass."""
    passed, printed = 0, time.monotonic()
    for line in lines:
        passed += bool(PASSED.match(line))
        if not PASSED.match(line) and not STARTED.match(line.rstrip("\n")):
            print(line, end="", flush=True)
        elif time.monotonic() - printed > PROGRESS_SECONDS:
            printed = time.monotonic()
            print(f"{passed} passed so far", flush=True)


if __name__ == "__main__":
    sys.exit(main())
