"""Which program is a given version of Python on this machine, for tests on another one than make's.

A program is taken for what it answers, not for its name: pyenv puts a `python3.13` on the PATH that starts nothing
until a version is chosen.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from dev.local_cluster.console import ClusterError

PRINT = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"


def find(version: str, search: str) -> Path:
    """The program of this version, such as 3.13: one on the PATH, pyenv's, or uv's, which may download it.

    `search`: folders, in the form of PATH. Raises ClusterError, which names the remedy.
    """
    for program in candidates(version, search):
        if found := answers(program, version, search):
            return found
    raise ClusterError(
        f"Python {version} is missing: put python{version} on the PATH"
        f" (`pyenv install {version}`, `uv python install {version}`, or your system's package)"
    )


def candidates(version: str, search: str) -> Iterator[str]:
    for name in (f"python{version}", "python3"):
        for folder in search.split(os.pathsep):
            if program := shutil.which(name, path=folder):
                yield program
    if uv := shutil.which("uv", path=search):
        output(uv, "python", "install", version, version=version, search=search)
        yield output(uv, "python", "find", version, version=version, search=search)


def answers(program: str, version: str, search: str) -> Path | None:
    """The real program behind this one, if it is of the version; pyenv's are asked for it."""
    if not program:
        return None
    number, _, path = output(program, "-c", PRINT, version=version, search=search).partition(" ")
    return Path(path) if number == version else None


def output(*command: str, version: str, search: str) -> str:
    """What the program printed; empty when it failed."""
    environment = {**os.environ, "PATH": search, "PYENV_VERSION": version}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
