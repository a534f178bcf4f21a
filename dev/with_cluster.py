"""`python -m dev.with_cluster [--existing] -- COMMAND …`: run a command with a cluster that has our images.

Which cluster that is, clusters.py says. With --existing no cluster and no image is made: without a cluster there is
nothing to do, which is printed and is no failure.
"""

import argparse
import os
import subprocess
import sys

from dev.clusters import NoCluster, environment


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.with_cluster", description=__doc__)
    parser.add_argument("--existing", action="store_true", help="use a cluster that is there, or do nothing")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="the program and its arguments, after --")
    chosen = parser.parse_args()
    try:
        found = environment(make=not chosen.existing)
        if found is None:
            print("Nothing to do: no cluster is up, and none was started for this.")
            return 0
        values = {**os.environ, **found}
        if not chosen.existing:
            values["WORKQUEUE_IMAGES"] = images(values)
    except NoCluster as problem:
        print(f"Error: {problem}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode  # the program that failed has printed why
    return subprocess.run(chosen.command, env=values, check=False).returncode


def images(values: dict[str, str]) -> str:
    """Built and loaded; JSON by name."""
    command = [sys.executable, "-m", "dev.images"]
    return subprocess.run(command, env=values, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
