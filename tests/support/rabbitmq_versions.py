"""Which RabbitMQ versions the tests can run, and how each gets onto this machine.

Debian's package is used where it is installed; otherwise a small Debian with it is built in a folder, for chroot, as
installing it on the machine would start a broker there.
Called by tests/conftest.py before the first test; by hand: python -m tests.support.rabbitmq_versions 3.10 4.0
"""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from dev.local_cluster.console import ClusterError, step
from dev.local_cluster.debian import install_quietly
from dev.local_cluster.locks import lock_file, locked
from dev.local_cluster.programs import run_long

DEV = Path(__file__).resolve().parents[2] / "dev"

#: The Debian release that has each version as its package.
SUITES = {"3.10": "bookworm", "4.0": "trixie"}
SCRIPTS = Path("/usr/lib/rabbitmq/bin")


class NotInstallable(Exception):
    """This version cannot be had here; the message says what is missing."""


@dataclass(frozen=True)
class Installation:
    """One version of RabbitMQ on this machine."""

    version: str
    #: The folder of a whole Debian to chroot into; None: the machine itself.
    root: Path | None

    def command(self, program: str, *arguments: str, binds: tuple[Path, ...] = ()) -> list[str]:
        """The command line for a program of this version; it sees the folders of `binds` at their own paths.

        The mounts live in a mount namespace of the process alone, so a killed run leaves none behind. A program
        without `binds` has no /proc and no /dev either: its mounts would cost more than a short program does.
        """
        if self.root is None:
            return [program, *arguments]
        if not binds:
            return ["chroot", str(self.root), program, *arguments]
        mounts = "".join(
            f'mkdir -p "{self.root}{path}" && mount --rbind "{path}" "{self.root}{path}" && '
            for path in (Path("/proc"), Path("/dev"), *binds)
        )
        script = f'{mounts}exec chroot "{self.root}" "$@"'
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", program, *arguments]


def installation(version: str) -> Installation:
    """What is installed already, on the machine or in a folder; raises NotInstallable, which names the remedy."""
    if version not in SUITES:
        raise NotInstallable(f"RabbitMQ {version}: the tests know {', '.join(SUITES)}")
    if _has(Path("/"), version):
        return Installation(version, None)
    if _has(_folder(version), version) and os.geteuid() == 0:
        return Installation(version, _folder(version))
    raise NotInstallable(
        f"RabbitMQ {version} is missing; as root on Debian 12: python -m tests.support.rabbitmq_versions {version}"
    )


def ensure(version: str) -> Installation:
    """Install the version if it is missing; raises NotInstallable when that needs root or Debian."""
    try:
        return installation(version)
    except NotInstallable:
        if version not in SUITES or os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise
    _build_folder(version)
    return installation(version)


def not_installable(problem: Exception) -> NoReturn:
    """For a fixture: a failure where everything has to be tested (CI is set), else a skip."""
    import pytest  # here, as the benchmarks and the installation run without it

    if os.environ.get("CI"):
        pytest.fail(str(problem))
    pytest.skip(str(problem))


def _has(root: Path, version: str) -> bool:
    return any((root / "usr/lib/rabbitmq/lib").glob(f"rabbitmq_server-{version}.*"))


def _folder(version: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "workqueue" / f"rabbitmq-{version}"


def _build_folder(version: str) -> None:
    """Whole or not at all, and by one program at a time; those that waited find it built."""
    if shutil.which("mmdebstrap") is None:
        install_package("mmdebstrap", f"RabbitMQ {version}")
    folder = _folder(version)
    with locked(lock_file(folder.name), f"the build of a Debian folder with RabbitMQ {version}"):
        if _has(folder, version):
            return
        for left in folder.parent.glob(f"{folder.name}.part*"):  # by a build that was killed
            shutil.rmtree(left)
        part = folder.with_name(f"{folder.name}.part")
        _bootstrap(version, part)
        (part / "etc/hosts").write_text("127.0.0.1 localhost\n", encoding="utf-8")
        part.rename(folder)


def _bootstrap(version: str, folder: Path) -> None:
    packages = "--include=rabbitmq-server,ca-certificates"
    command = ["mmdebstrap", "--variant=minbase", packages, SUITES[version], str(folder)]
    log = folder.parent / "logs" / f"{folder.name}.log"
    try:
        with step(f"Building a Debian folder with RabbitMQ {version} (a minute or two, once)") as progress:
            run_long(command, log=log, progress=progress)
    except ClusterError as error:
        raise NotInstallable(f"RabbitMQ {version}: {error}") from error


def install_package(package: str, wanted_for: str) -> None:
    """Debian's; raises NotInstallable when that needs root or Debian."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NotInstallable(f"{wanted_for} needs {package}: install it")
    try:
        install_quietly([package])
    except ClusterError as error:
        raise NotInstallable(f"{wanted_for} needs {package}: {error}") from error


if __name__ == "__main__":
    try:
        for wanted in sys.argv[1:] or SUITES:
            ensure(wanted)
    except NotInstallable as problem:
        sys.exit(str(problem))
