"""`python -m dev.cluster_tests`, inside dev/with_cluster.py: the tests of the charts and those on a real cluster.

Of the latter, what failed runs once more: that decides, unless a test marked `once` is among it.
"""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]


def main() -> int:
    charts = run("charts", "--numprocesses=auto", "--maxprocesses=4")
    code = run("cluster", "--cache-clear", "--durations=15")
    if code == pytest.ExitCode.TESTS_FAILED:
        print("Once more, what failed", flush=True)
        code = run("cluster", "--last-failed", "--last-failed-no-failures=none")
    return charts or code


def run(folder: str, *flags: str) -> int:
    """A pytest with a cache of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-o", f"cache_dir=.pytest_cache/{folder}"]
    tests = (f"tests/{folder}", "-m", "not scale_downs")
    return subprocess.run([*command, *tests, *flags], cwd=CHECKOUT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
