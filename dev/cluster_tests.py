"""`python dev/cluster_tests.py`, inside dev/with_cluster.py: the tests of the charts and those on a real cluster.

What failed runs once more: that decides, unless a test marked `once` is among it.
"""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]


def main() -> int:
    code = run("--cache-clear", "--durations=15")
    if code == pytest.ExitCode.TESTS_FAILED:
        print("Once more, what failed", flush=True)
        code = run("--last-failed", "--last-failed-no-failures=none")
    return code


def run(*flags: str) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-o", "cache_dir=.pytest_cache/cluster"]
    tests = ("tests/charts", "tests/cluster", "-m", "not shrinks")
    return subprocess.run([*command, *tests, *flags], cwd=CHECKOUT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
