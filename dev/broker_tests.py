"""`python dev/broker_tests.py VERSION …`: the broker tests on each version of RabbitMQ, side by side.

One pytest for each, as two brokers' tests wait most of the time; each line says whose it is, and of the tests that
passed only their number is told, now and then. What the versions need is installed first, one after the other.
What failed is told, and run once more with nothing beside it: that decides, unless one marked `once` is among it.
"""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
TESTS = CHECKOUT / "tests"
PASSED = re.compile(r" PASSED +\[ *\d+%\]$")
TELL_SECONDS = 15.0
sys.path.insert(0, str(TESTS / "support"))
from network_link import NetworkLink  # noqa: E402 - the tests are no package
from rabbitmq_versions import NotInstallable, ensure  # noqa: E402


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
    running = {version: start(version, "--cache-clear") for version in versions}
    tellers = [threading.Thread(target=tell, args=item) for item in running.items()]
    for teller in tellers:
        teller.start()
    try:
        for teller in tellers:
            teller.join()
    except KeyboardInterrupt:  # both heard it too, and end in order
        for teller in tellers:
            teller.join()
    codes = {version: process.wait() for version, process in running.items()}
    for version in [version for version, code in codes.items() if code == pytest.ExitCode.TESTS_FAILED]:
        print(f"RabbitMQ {version}: once more, what failed", flush=True)
        again = start(version, "--last-failed", "--last-failed-no-failures=none")
        tell(version, again)
        codes[version] = again.wait()
    print("; ".join(f"RabbitMQ {version}: {'passed' if code == 0 else 'FAILED'}" for version, code in codes.items()))
    return max(codes.values(), key=abs)


def start(version: str, *flags: str) -> "subprocess.Popen[str]":
    """With a cache of its own, as two would write the same one."""
    cache = f"cache_dir=.pytest_cache/rabbitmq-{version}"
    command = [sys.executable, "-m", "pytest", "-v", "-o", cache, "tests/broker", "--rabbitmq", version, *flags]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def tell(version: str, process: "subprocess.Popen[str]") -> None:
    passed, told = 0, time.monotonic()
    for line in process.stdout or ():
        if not PASSED.search(line):
            print(f"[{version}] {line}", end="", flush=True)
            continue
        passed += 1
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            print(f"[{version}] {passed} passed so far", flush=True)


if __name__ == "__main__":
    sys.exit(main())
