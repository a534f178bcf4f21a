"""`python -m dev.suites VERSION …`: all tests, two suites side by side, as each waits a part of its time.

First the unit tests on both Pythons, then, if these pass, the broker tests and the cluster tests. Each line of output
names its suite. A suite's failure does not end the one beside it. The last lines say how each ended, and which tests
passed only in a second run.
"""

import subprocess
import sys
import threading
import time
from pathlib import Path

from dev.second_run import RUN_ONCE_MORE
from dev.test_turn import turn

CHECKOUT = Path(__file__).resolve().parents[1]
#: What runs a module of this checkout.
MODULE = (sys.executable, "-m")


class Suite:
    """One suite that runs."""

    def __init__(self, name: str, *command: str) -> None:
        self.name = name
        #: Lines about tests that failed in their first run.
        self.run_once_more: list[str] = []
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._show)
        self._reader.start()

    def _show(self) -> None:
        for line in self._process.stdout or ():
            print(f"[{self.name}] {line}", end="", flush=True)
            if line.startswith(RUN_ONCE_MORE):
                self.run_once_more.append(line.rstrip("\n"))

    def ended(self) -> tuple[int, str]:
        """Wait for its end; the exit code, and a line about it."""
        with self._process:
            self._reader.join()
        code = self._process.returncode
        minutes = (time.monotonic() - self._began) / 60
        return code, f"{self.name} tests: {'FAILED' if code else 'passed'} after {minutes:.1f} minutes"


def main() -> int:
    versions = sys.argv[1:]
    units = side_by_side(
        Suite("unit", "make", "--no-print-directory", "test-unit"),
        Suite("unit of the images", "make", "--no-print-directory", "test-unit-images"),
    )
    if units:
        return units
    with turn("the broker and cluster tests"):
        # First, with nothing beside it: on a new machine a cluster is compiled, which would starve the broker tests.
        # What goes wrong here goes wrong in the cluster suite again, which reports it.
        subprocess.run([*MODULE, "dev.with_cluster", "--", "true"], cwd=CHECKOUT, check=False)
        return side_by_side(
            Suite("broker", *MODULE, "dev.broker_tests", *versions),
            Suite("cluster", *MODULE, "dev.with_cluster", "--", *MODULE, "dev.cluster_tests"),
        )


def side_by_side(*suites: Suite) -> int:
    """Wait for all; print how each ended. The exit code that is furthest from 0."""
    try:
        return report(suites)
    except KeyboardInterrupt:  # each has received it too, and ends in order
        return report(suites)


def report(suites: tuple[Suite, ...]) -> int:
    """Print how each ended; the exit code that is furthest from 0."""
    ends = [suite.ended() for suite in suites]
    for suite, (_, line) in zip(suites, ends, strict=True):
        print(line, *suite.run_once_more, sep="\n  ", flush=True)
    return max((code for code, _ in ends), key=abs)


if __name__ == "__main__":
    sys.exit(main())
