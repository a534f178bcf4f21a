"""Which RabbitMQ versions the tests can run, and how each gets onto this machine.

3.10 is Debian 12's package, used from where it is installed; 4.0 is Debian 13's, in a folder of its own, by chroot.
Called by tests/conftest.py before the first test; by hand: python tests/support/rabbitmq_versions.py 3.10 4.0
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

VERSIONS = ("3.10", "4.0")
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

        The mounts live in a mount namespace of the process alone, so a killed run leaves none behind.
        """
        if self.root is None:
            return [program, *arguments]
        mounts = "".join(
            f'mkdir -p "{self.root}{path}" && mount --rbind "{path}" "{self.root}{path}" && '
            for path in (Path("/proc"), Path("/dev"), *binds)
        )
        script = f'{mounts}exec chroot "{self.root}" "$@"'
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", program, *arguments]


def installation(version: str) -> Installation:
    """What is installed already; raises NotInstallable, which names the remedy."""
    if version not in VERSIONS:
        raise NotInstallable(f"RabbitMQ {version}: the tests know {', '.join(VERSIONS)}")
    root = None if version == "3.10" else _folder(version)
    if _library(root, version):
        return Installation(version, root)
    raise NotInstallable(
        f"RabbitMQ {version} is missing; as root on Debian 12: python tests/support/rabbitmq_versions.py {version}"
    )


def ensure(version: str) -> Installation:
    """Install the version if it is missing; raises NotInstallable when that needs root or Debian."""
    try:
        return installation(version)
    except NotInstallable:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise
    if version == "3.10":
        _apt_install("rabbitmq-server", version)
    else:
        _build_folder(version)
    return installation(version)


def _library(root: Path | None, version: str) -> bool:
    """Whether the package's own folder is there; a chroot needs root too."""
    packages = Path(f"{root or ''}/usr/lib/rabbitmq/lib")
    found = any(packages.glob(f"rabbitmq_server-{version}.*"))
    return found and (root is None or os.geteuid() == 0)


def _folder(version: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "workqueue" / f"rabbitmq-{version}"


def _apt_install(package: str, version: str) -> None:
    _say(f"Installing Debian's {package} for RabbitMQ {version} (half a minute) …")
    # The package starts a broker on the standard ports otherwise; the tests start their own.
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = ["apt-get", "install", "--yes", "--no-install-recommends", package]
    if subprocess.run(install, capture_output=True, env=environment, check=False).returncode != 0:
        _run(["apt-get", "update"], version, environment)
        _run(install, version, environment)


def _build_folder(version: str) -> None:
    if shutil.which("mmdebstrap") is None:
        _apt_install("mmdebstrap", version)
    folder = _folder(version)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    _say(f"Building a Debian 13 folder with RabbitMQ {version} in {folder} (a minute and a half, once) …")
    try:
        packages = "--include=rabbitmq-server,ca-certificates"
        _run(["mmdebstrap", "--variant=minbase", packages, "trixie", str(part)], version, dict(os.environ))
        (part / "etc/hosts").write_text("127.0.0.1 localhost\n", encoding="utf-8")
        part.rename(folder)  # whole or not at all; a run beside us may have been first
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _run(command: list[str], version: str, environment: dict[str, str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        last = "\n".join(done.stderr.splitlines()[-5:])
        raise NotInstallable(f"RabbitMQ {version}: {' '.join(command)} failed:\n{last}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        for wanted in sys.argv[1:] or VERSIONS:
            ensure(wanted)
    except NotInstallable as problem:
        sys.exit(str(problem))
