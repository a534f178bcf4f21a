"""`python -m dev.broker_tests VERSION …`: the broker tests on each version of RabbitMQ, side by side.

One pytest for each version with some processes of its own, as a broker's tests wait most of the time. Each process has
its own brokers. Each line of output names its version; of the tests that pass only their number is printed, now and
then. What the versions need is installed first. What failed runs once more with nothing beside it: that decides, unless
a test marked `once` is among it.
"""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dev.local_cluster.locks import lock_file, locked
from tests.support.network_link import NetworkLink
from tests.support.rabbitmq_versions import NotInstallable, ensure

CHECKOUT = Path(__file__).resolve().parents[1]
TESTS = CHECKOUT / "tests"
#: Processes for each version. Two versions with four each kept two cores busy.
PROCESSES = 4
#: What pytest-xdist prints as a test starts, and as it passes.
STARTED = re.compile(r"^\S+::.* $")
PASSED = re.compile(r"^\[gw\d+\] \[ *\d+%\] PASSED ")
PROGRESS_SECONDS = 15.0


def main() -> int:
    versions = sys.argv[1:]
    try:
        for version in versions:
            ensure(version)
        NetworkLink.install()
    except NotInstallable as problem:
        if os.environ.get("CI"):
            print(f"Error: {problem}", file=sys.stderr)
            return 1
    with locked(lock_file("tests"), "the broker tests"):  # a second suite beside it would only make both late
        return run(versions)


def run(versions: list[str]) -> int:
    """The exit code of the run that is furthest from 0."""
    at_once = ("--cache-clear", f"--numprocesses={PROCESSES}", "--dist=worksteal", "--durations=15")
    running = {version: start(version, *at_once) for version in versions}
    show_all(running)
    codes = {version: process.wait() for version, process in running.items()}
    for version in [version for version, code in codes.items() if code == pytest.ExitCode.TESTS_FAILED]:
        print(f"RabbitMQ {version}: once more, what failed", flush=True)
        again = start(version, "--last-failed", "--last-failed-no-failures=none")
        show(version, again)
        codes[version] = again.wait()
    print("; ".join(f"RabbitMQ {version}: {'passed' if code == 0 else 'FAILED'}" for version, code in codes.items()))
    return max(codes.values(), key=abs, default=0)


def start(version: str, *flags: str) -> "subprocess.Popen[str]":
    """A pytest with a cache of its own, as two would write the same one."""
    cache = f"cache_dir=.pytest_cache/rabbitmq-{version}"
    command = [sys.executable, "-m", "pytest", "-v", "-o", cache, "tests/broker", "--rabbitmq", version, *flags]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def show_all(running: "dict[str, subprocess.Popen[str]]") -> None:
    threads = [threading.Thread(target=show, args=item) for item in running.items()]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:  # every pytest has received it too, and ends in order
        for thread in threads:
            thread.join()


def show(version: str, process: "subprocess.Popen[str]") -> None:
    """Print what the run prints, but for single tests that start and pass."""
    passed, printed = 0, time.monotonic()
    for line in process.stdout or ():
        passed += bool(PASSED.match(line))
        if not PASSED.match(line) and not STARTED.match(line.rstrip("\n")):
            print(f"[{version}] {line}", end="", flush=True)
        elif time.monotonic() - printed > PROGRESS_SECONDS:
            printed = time.monotonic()
            print(f"[{version}] {passed} passed so far", flush=True)


if __name__ == "__main__":
    sys.exit(main())
