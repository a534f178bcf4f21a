"""Makes the images that a registry would otherwise give: a slim Python, RabbitMQ, Prometheus, and pods' pause program.

Rule: each is named by a hash of what it is made from and made once, whole or not at all.
`up` and the image builder call it.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from dev.local_cluster.console import step
from dev.local_cluster.places import Places
from dev.local_cluster.programs import run, run_long, succeeds

REPOSITORY = "localhost/workqueue"
RABBITMQ_ID = 999  # as in the official image, so that one manifest suits both
RABBITMQ_USER = f"rabbitmq:x:{RABBITMQ_ID}:{RABBITMQ_ID}::/var/lib/rabbitmq:/usr/sbin/nologin"
FORGET_MACHINE = 'rm -f "$1/etc/hostname" "$1/etc/resolv.conf"'  # mmdebstrap copies them from this machine
UNUSED_FILES = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/var/cache/apt/*")


@dataclass(frozen=True)
class DebianImage:
    """An image that is a Debian with some packages. `hooks`: shell lines that run before they are installed."""

    name: str
    suite: str
    packages: tuple[str, ...]
    settings: tuple[str, ...]
    hooks: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        key = hashlib.sha256(json.dumps([repr(self), UNUSED_FILES, FORGET_MACHINE]).encode()).hexdigest()
        return f"{REPOSITORY}/{self.name}:{key[:12]}"


def rabbitmq(series: str, suite: str) -> DebianImage:
    return DebianImage(
        name=f"rabbitmq-{series}",
        suite=suite,
        packages=("rabbitmq-server", "ca-certificates"),
        # Debian's wrappers in /usr/sbin want to change the user; the programs behind them do not.
        settings=(
            f"--user={RABBITMQ_ID}:{RABBITMQ_ID}",
            "--env=PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "--env=LANG=C.UTF-8",
            "--workingdir=/var/lib/rabbitmq",
            "--cmd=rabbitmq-server",
        ),
        hooks=(
            f"echo '{RABBITMQ_USER}' >> \"$1/etc/passwd\"",
            f"echo 'rabbitmq:x:{RABBITMQ_ID}:' >> \"$1/etc/group\"",
        ),
    )


PYTHON = DebianImage(
    name="python",
    suite="trixie",  # its Python is 3.13, as the one that the Dockerfile names
    packages=("python3", "python3-venv", "python3-pip", "python-is-python3", "ca-certificates"),
    settings=(
        "--env=LANG=C.UTF-8",
        "--env=PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "--cmd=python3",
    ),
)
PROMETHEUS = DebianImage(
    name="prometheus",
    suite="trixie",
    packages=("prometheus", "ca-certificates"),
    # As the official image, so that one manifest suits both: its user, and arguments alone.
    settings=("--user=65534:65534", '--entrypoint=["/usr/bin/prometheus"]', "--workingdir=/"),
)
DEBIAN_IMAGES = {
    image.name: image for image in (PYTHON, rabbitmq("3", "bookworm"), rabbitmq("4", "trixie"), PROMETHEUS)
}
PAUSE_PROGRAM = Path("/usr/bin/catatonit")


def pause_reference() -> str:
    return f"{REPOSITORY}/pause:{hashlib.sha256(PAUSE_PROGRAM.read_bytes()).hexdigest()[:12]}"


def buildah(places: Places, *words: str | Path) -> list[str | Path]:
    """A buildah command on our own store."""
    store = places.build_store
    storage: list[str | Path] = ["--root", store, "--runroot", store / "run", "--storage-driver", "overlay"]
    return ["buildah", *storage, *words]


def exists(places: Places, reference: str) -> bool:
    return succeeds(buildah(places, "inspect", "--type=image", reference))


def ensure_debian_image(places: Places, image: DebianImage) -> str:
    if not exists(places, image.reference):
        log = places.cache / "logs" / f"{image.name}-image.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        archive = places.partial / f"{image.name}.tar"
        try:
            with step(f"Making the base image {image.name} from Debian {image.suite} (once)") as progress:
                run_long(bootstrap(image, archive), log=log, progress=progress, detail=lambda: last_step(log))
                commit(places, image.reference, archive, image.settings)
        finally:
            archive.unlink(missing_ok=True)
    return image.reference


def bootstrap(image: DebianImage, archive: Path) -> list[str | Path]:
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in UNUSED_FILES]
    hooks = [f"--essential-hook={line}" for line in image.hooks]
    hooks.append(f"--customize-hook={FORGET_MACHINE}")
    include = f"--include={','.join(image.packages)}"
    return ["mmdebstrap", "--variant=minbase", include, *excluded, *hooks, image.suite, archive]


def last_step(log: Path) -> str:
    steps = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("I: ")]
    return steps[-1].removeprefix("I: ")[:60] if steps else ""


def ensure_pause_image(places: Places) -> str:
    reference = pause_reference()
    if not exists(places, reference):
        archive = places.partial / "pause.tar"
        try:
            run(["tar", "--create", "--file", archive, "--directory", PAUSE_PROGRAM.parent, PAUSE_PROGRAM.name])
            commit(places, reference, archive, ('--entrypoint=["/catatonit", "-P"]', "--user=65535:65535"))
        finally:
            archive.unlink(missing_ok=True)
    return reference


def commit(places: Places, reference: str, archive: Path, settings: tuple[str, ...]) -> None:
    """An image of one layer; it has its name only once it is whole."""
    container = run(buildah(places, "from", "scratch")).strip()
    try:
        run(buildah(places, "add", container, archive, "/"))
        run(buildah(places, "config", *settings, container))
        run(buildah(places, "commit", "--quiet", container, reference))
    finally:
        run(buildah(places, "rm", container))
