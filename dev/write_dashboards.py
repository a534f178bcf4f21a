"""`python3 -m dev.write_dashboards [--check]`: the JSON of the dashboards, in the operator's chart.

With --check nothing is written: it fails when a file is not what the code would write. A dashboard that reads a metric
or label that no part exports is an error either way.
"""

import argparse
import sys
from pathlib import Path

from dev.dashboards import fleet, one_queue, operator_process, worker_pods
from dev.dashboards.checks import NotExported, check
from dev.dashboards.grafana import text
from dev.dashboards.names import known
from dev.dashboards.queries import Unreadable

FOLDER = Path(__file__).resolve().parents[1] / "charts" / "workqueue-operator" / "dashboards"
DASHBOARDS = tuple(one.DASHBOARD for one in (fleet, one_queue, operator_process, worker_pods))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m dev.write_dashboards", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail when a file would change")
    chosen = parser.parse_args()
    try:
        wanted = files()
    except (NotExported, Unreadable) as problem:
        print(f"Error: {problem}", file=sys.stderr)
        return 1
    if chosen.check:
        return report(changed(wanted))
    FOLDER.mkdir(exist_ok=True)
    for path in set(FOLDER.glob("*.json")) - set(wanted):
        path.unlink()
    for path, content in wanted.items():
        path.write_text(content)
    return 0


def files() -> dict[Path, str]:
    """The files as the code writes them. Raises NotExported or Unreadable."""
    metrics = known()
    for dashboard in DASHBOARDS:
        check(dashboard, metrics)
    return {FOLDER / f"{dashboard.uid}.json": text(dashboard) for dashboard in DASHBOARDS}


def changed(wanted: dict[Path, str]) -> list[str]:
    """Names of the files that are missing, too many or different."""
    found = {path: path.read_text() for path in FOLDER.glob("*.json")}
    return sorted(path.name for path in {*wanted, *found} if wanted.get(path) != found.get(path))


def report(names: list[str]) -> int:
    if names:
        print(f"Error: run `make dashboards`: not as dev/dashboards writes them: {', '.join(names)}", file=sys.stderr)
    return bool(names)


if __name__ == "__main__":
    sys.exit(main())
