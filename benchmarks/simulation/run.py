"""Compares this project's scaling with a model of KEDA on the same generated work: a table, JSON and two figures.

Usage: python -m benchmarks.simulation.run [--output FOLDER]. Seconds of computing, no cluster, no broker.
"""

import argparse
import logging
import platform
from importlib.util import find_spec
from pathlib import Path

from workqueue_operator.resource import ScalingPolicy

from benchmarks.simulation.keda import KedaSettings, keda
from benchmarks.simulation.measures import Contender, run
from benchmarks.simulation.ours import with_drain_seconds, with_messages_per_replica
from benchmarks.simulation.tables import as_json, markdown
from benchmarks.simulation.traces import all_traces

#: The schema's defaults, for all: 5 ready messages a worker, 0 to 50 workers, and ours read once a second.
POLICY = ScalingPolicy()
DRAIN_SECONDS = 60
KEDA = KedaSettings(POLICY.messages_per_replica, POLICY.max_replicas)
#: What a ScaledObject can be tuned to: as quick as its schema allows, with the window and cooldown of ours.
KEDA_TUNED = KedaSettings(
    POLICY.messages_per_replica, POLICY.max_replicas, polling_seconds=1.0, cooldown_seconds=60.0, window_seconds=60.0
)
CONTENDERS = (
    Contender("ours, messagesPerReplica 5", with_messages_per_replica(POLICY)),
    Contender(f"ours, drainSeconds {DRAIN_SECONDS}", with_drain_seconds(POLICY, DRAIN_SECONDS)),
    Contender("KEDA model, defaults", keda(KEDA)),
    Contender("KEDA model, tuned", keda(KEDA_TUNED)),
)


def main() -> None:
    """Run everything and write it down."""
    parser = argparse.ArgumentParser(description="Simulate scalers on generated work.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results", help="folder to write to")
    folder: Path = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)  # the operator's own lines about workers that got a task, which the table counts
    runs = [run(trace, contender) for trace in all_traces() for contender in CONTENDERS]
    table = markdown(runs)
    (folder / "results.md").write_text(table)
    (folder / "results.json").write_text(as_json(runs))
    print(table)
    print(f"Python {platform.python_version()}; written to {folder}: results.md, results.json", end="")
    if find_spec("matplotlib") is None:
        print("\nno figures: pip install -r benchmarks/simulation/requirements.txt")
        return
    from benchmarks.simulation.plots import draw

    print("".join(f", {path.name}" for path in draw(runs, folder)))


if __name__ == "__main__":
    main()
