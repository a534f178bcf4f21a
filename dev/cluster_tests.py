"""`python dev/cluster_tests.py`, inside dev/with_cluster.py: the tests of the charts and those on a real cluster.

What failed is told, and run once more: that decides, but for tests marked `once`.
"""

import subprocess
import sys

import pytest
from second_run import AGAIN, CHECKOUT, stands

COMMAND = (
    *(sys.executable, "-m", "pytest", "-q", "-o", "cache_dir=.pytest_cache/cluster"),
    *("tests/charts", "tests/cluster", "-m", "not shrinks"),
)


def main() -> int:
    code = run("--cache-clear")
    if code == pytest.ExitCode.TESTS_FAILED and not stands(COMMAND):
        print("Once more, what failed", flush=True)
        code = run(*AGAIN)
    return code


def run(*flags: str) -> int:
    return subprocess.run([*COMMAND, *flags], cwd=CHECKOUT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
