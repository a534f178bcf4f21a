"""`python3 -m dev.prometheus`: Prometheus and promtool for the tests; prints the paths of the two programs.

Those on the PATH are used. Otherwise Debian's package is unpacked into our cache, where it starts nothing and changes
nothing of the machine, so root is not needed.
"""

import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from dev.local_cluster.console import ClusterError, step
from dev.local_cluster.locks import lock_file, locked
from dev.local_cluster.places import places
from dev.local_cluster.programs import run_long

PACKAGE = "prometheus"
#: Both are in the package, and in every archive of the Prometheus project.
NAMES = ("prometheus", "promtool")
REMEDY = "put prometheus and promtool on the PATH (https://prometheus.io/download)"


@dataclass(frozen=True)
class Programs:
    """Paths of the two programs."""

    prometheus: Path
    promtool: Path


def main() -> int:
    try:
        found = programs()
    except ClusterError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    print(f"{found.prometheus}\n{found.promtool}")
    return 0


def programs() -> Programs:
    """Those on the PATH, or else of the cache, which is filled when it is empty. Raises ClusterError with a remedy."""
    on_path = [shutil.which(name) for name in NAMES]
    if all(on_path):
        return Programs(*(Path(path) for path in on_path if path))
    folder = _folder()
    if not folder.exists():
        _fill(folder)
    return Programs(*(folder / "usr/bin" / name for name in NAMES))


def _folder() -> Path:
    """One for each Debian release and processor, as these say which package it is."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return places().cache / f"{PACKAGE}-{release.get('VERSION_CODENAME', 'unknown')}-{platform.machine()}"


def _fill(folder: Path) -> None:
    """Whole or not at all, and by one program at a time; those that waited find it filled."""
    if missing := [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]:
        raise ClusterError(f"Prometheus is missing, and so is {missing[0]} to get Debian's package: {REMEDY}")
    with locked(lock_file(folder.name), "the download of Debian's Prometheus"):
        if folder.exists():
            return
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # by a download that was killed
        try:
            _unpack(part, places().cache / "logs" / f"{folder.name}.log")
            (part / "root").rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _unpack(part: Path, log: Path) -> None:
    """Debian's package into `part`/root, by package lists of its own: the machine's may be old, and are root's."""
    for name in ("lists/partial", "cache/archives/partial"):
        (part / name).mkdir(parents=True)
    state = (f"Dir::State::Lists={part}/lists", f"Dir::Cache={part}/cache", "Acquire::Languages=none")
    user = "APT::Sandbox::User=root"  # apt's own user may not enter a home; without root the option changes nothing
    apt = ["apt-get", "--quiet", *(f"--option={option}" for option in (*state, user))]
    try:
        with step("Downloading Debian's Prometheus (half a minute, once)") as progress:
            run_long([*apt, "update"], log=log, progress=progress, cwd=part)
            run_long([*apt, "download", PACKAGE], log=log, progress=progress, cwd=part)
            (archive,) = part.glob("*.deb")
            run_long(["dpkg-deb", "--extract", archive, part / "root"], log=log, progress=progress)
    except ClusterError as error:
        raise ClusterError(f"{error}\nWithout Debian's package: {REMEDY}") from error


if __name__ == "__main__":
    sys.exit(main())
