"""`python3 -m dev.environment FOLDER [VERSION]`: a Python environment for the tests and the demo, from the lock.

VERSION, such as 3.13: on that Python (dev/pythons.py), instead of the one that runs this.

Run by make when the lock or the project's metadata changed. On Debian the venv module needs a package of its own, which
is installed where that can be done (root, apt); else the error names it.
"""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from dev.local_cluster.console import ClusterError, step
from dev.local_cluster.debian import install_quietly
from dev.local_cluster.locks import locked
from dev.local_cluster.programs import run_long
from dev.pythons import find

CHECKOUT = Path(__file__).resolve().parents[1]

MADE_FROM = (CHECKOUT / "requirements.lock", CHECKOUT / "pyproject.toml")
STAMP = ".installed"
QUIET = ("--disable-pip-version-check", "--progress-bar=off", "--root-user-action=ignore")


def main() -> int:
    folder, version = Path(sys.argv[1]), "".join(sys.argv[2:])
    with locked(folder.with_name(f"{folder.name}-install.lock"), f"the making of {folder}"):
        if is_current(folder, MADE_FROM):  # another make in this checkout was first
            return 0
        log = folder.with_name(f"{folder.name}-install.log")
        log.write_bytes(b"")
        try:
            make(folder, find(version, os.environ["PATH"]) if version else Path(sys.executable), log)
            install(folder, log)
        except ClusterError as error:
            print(f"Error: {error}", file=sys.stderr)
            return 1
        log.unlink()
        (folder / STAMP).touch()
    return 0


def is_current(folder: Path, made_from: Iterable[Path]) -> bool:
    """Whether it was made whole, and after the last change of what it is made from; the Makefile asks the same."""
    stamp = folder / STAMP
    return stamp.exists() and all(stamp.stat().st_mtime >= path.stat().st_mtime for path in made_from)


def make(folder: Path, python: Path, log: Path) -> None:
    command: list[str | Path] = [python, "-m", "venv", folder]
    with step(f"Making the Python environment {folder}") as progress:
        try:
            run_long(command, log=log, progress=progress)
        except ClusterError as error:
            # A folder that a failed attempt left would be taken for whole by the next one.
            shutil.rmtree(folder, ignore_errors=True)
            if os.geteuid() != 0 or shutil.which("apt-get") is None:
                raise ClusterError(f"{error}\nOn Debian, install python3-venv first.") from error
            install_quietly(["python3-venv"])
            run_long(command, log=log, progress=progress)


def install(folder: Path, log: Path) -> None:
    pip: list[str | Path] = [folder / "bin" / "pip", "install", *QUIET]
    with step("Installing the locked packages (half a minute the first time)") as progress:
        locked: list[str | Path] = ["--requirement", CHECKOUT / "requirements.lock"]
        run_long([*pip, *locked], log=log, progress=progress, detail=lambda: last_line(log))
    with step("Installing the project itself, editable") as progress:
        project: list[str | Path] = ["--no-deps", "--no-build-isolation", "--editable", CHECKOUT]
        run_long([*pip, *project], log=log, progress=progress, detail=lambda: last_line(log))


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1].strip()[:60] if lines else ""


if __name__ == "__main__":
    sys.exit(main())
