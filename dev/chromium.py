"""`python3 -m dev.chromium`: a Chromium that draws pages without a screen; prints its path.

One on the PATH is used. Otherwise root gets Debian's package installed, as its many libraries cannot lie in our cache.
"""

import os
import shutil
import sys
from pathlib import Path

from dev.local_cluster.console import ClusterError, step
from dev.local_cluster.places import places
from dev.local_cluster.programs import run_long

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
REMEDY = "install Chromium (Debian: apt-get install chromium) and put it on the PATH"


def main() -> int:
    try:
        print(program())
    except ClusterError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    return 0


def program() -> Path:
    """The one on the PATH, or Debian's, which is installed when it is missing. Raises ClusterError with a remedy."""
    found = _on_path()
    if not found:
        _install()
        found = _on_path()
    if not found:
        raise ClusterError(f"Chromium was installed and is not on the PATH: {REMEDY}")
    return found


def _on_path() -> Path | None:
    return next((Path(path) for path in map(shutil.which, NAMES) if path), None)


def _install() -> None:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise ClusterError(f"Chromium is missing: {REMEDY}")
    apt = ["apt-get", "--quiet", "--yes"]
    log = places().cache / "logs" / "chromium.log"
    with step("Installing Debian's Chromium (a minute, once)") as progress:
        run_long([*apt, "update"], log=log, progress=progress)
        install = [*apt, "install", "--no-install-recommends", "chromium"]
        run_long(install, log=log, progress=progress, env={"DEBIAN_FRONTEND": "noninteractive"})


if __name__ == "__main__":
    sys.exit(main())
