"""`python dev/broker_tests.py VERSION …`: the broker tests on each version of RabbitMQ, side by side.

One pytest for each, as two brokers' tests wait most of the time; each line says whose it is. What the versions need is
installed first, one after the other.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
TESTS = CHECKOUT / "tests"
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
    running = {version: start(version) for version in versions}
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
    print("; ".join(f"RabbitMQ {version}: {'passed' if code == 0 else 'FAILED'}" for version, code in codes.items()))
    return max(codes.values(), key=abs)


def start(version: str) -> "subprocess.Popen[str]":
    """No cache, as two would write the same one."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/broker", "--rabbitmq", version]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def tell(version: str, process: "subprocess.Popen[str]") -> None:
    for line in process.stdout or ():
        print(f"[{version}] {line}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
