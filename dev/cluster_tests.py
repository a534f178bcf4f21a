"""`python -m dev.cluster_tests`, inside dev/with_cluster.py: the tests of the charts and those on a real cluster.

Both run side by side, and those on the cluster in several processes: they wait most of the time. Of these, what failed
runs once more (second_run.py).
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from dev import second_run

CHECKOUT = Path(__file__).resolve().parents[1]
CACHES = CHECKOUT / ".pytest_cache"
#: On two cores; each process has an operator and a broker of its own.
CLUSTER_PROCESSES = 3
CHART_PROCESSES = 2


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
    return second_run.decided(code, CACHES / "cluster", lambda: start("cluster", *second_run.FLAGS).wait())


def start(folder: str, *flags: str, output: IO[bytes] | None = None) -> "subprocess.Popen[bytes]":
    """A pytest with a cache of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-o", f"cache_dir={CACHES / folder}"]
    tests = (f"tests/{folder}", "-m", "not scale_downs")
    return subprocess.Popen([*command, *tests, *flags], cwd=CHECKOUT, stdout=output, stderr=output)


if __name__ == "__main__":
    sys.exit(main())
