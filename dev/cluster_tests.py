"""`python -m dev.cluster_tests`, inside dev/with_cluster.py: the tests of the charts and those on a real cluster.

Both run side by side, and those on the cluster in several processes: they wait most of the time. Of these, what failed
runs once more with nothing beside it, and that decides, unless a test marked `once` is among it. The last lines name
each test that was run once more.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
CACHES = CHECKOUT / ".pytest_cache"
#: On two cores; each process has an operator and a broker of its own.
CLUSTER_PROCESSES = 3
CHART_PROCESSES = 2
#: What a line about a test begins with that failed in its first run.
RUN_ONCE_MORE = "Run once more: "


def main() -> int:
    with tempfile.TemporaryFile() as output:
        charts = start("charts", f"--numprocesses={CHART_PROCESSES}", output=output)
        cluster = run_on_cluster()
        charts_code = charts.wait()
        output.seek(0)
        print(output.read().decode(errors="replace"), flush=True)
    return charts_code or cluster


def run_on_cluster() -> int:
    side_by_side = (f"--numprocesses={CLUSTER_PROCESSES}", "--dist=worksteal")
    code = start("cluster", "--cache-clear", "--durations=25", *side_by_side).wait()
    if code != pytest.ExitCode.TESTS_FAILED:
        return code
    again = failed(CACHES / "cluster")
    print("Once more, what failed", flush=True)
    code = start("cluster", "--last-failed", "--last-failed-no-failures=none").wait()
    for test in again:
        print(f"{RUN_ONCE_MORE}{test}", flush=True)
    return code


def failed(cache: Path) -> list[str]:
    """The tests that failed in the last run with this cache of pytest."""
    found: dict[str, bool] = json.loads((cache / "v" / "cache" / "lastfailed").read_text())
    return sorted(found)


def start(folder: str, *flags: str, output: IO[bytes] | None = None) -> "subprocess.Popen[bytes]":
    """A pytest with a cache of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-o", f"cache_dir={CACHES / folder}"]
    tests = (f"tests/{folder}", "-m", "not scale_downs")
    return subprocess.Popen([*command, *tests, *flags], cwd=CHECKOUT, stdout=output, stderr=output)


if __name__ == "__main__":
    sys.exit(main())
