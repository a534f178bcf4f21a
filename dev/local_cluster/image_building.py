"""Builds the project's Dockerfile, and those of examples/, with buildah on the cluster's own Python base.

Rule: the machine's certificates and pip settings are lent to the build as read-only volumes; none of them ends in an
image. The Dockerfiles are the same as for docker.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from dev.local_cluster.base_images import PYTHON, buildah, ensure_debian_image, exists
from dev.local_cluster.console import step
from dev.local_cluster.places import CHECKOUT, Places
from dev.local_cluster.programs import run, run_long, succeeds

KEPT = 3  # builds of each part, with their layers
YOUNG = timedelta(hours=1)
LENT = (Path("/etc/ssl/certs"), Path("/etc/pip.conf"))


@dataclass(frozen=True)
class Target:
    """What is built: a Dockerfile, and the name of one of its stages, or "" for its last one."""

    dockerfile: Path
    stage: str = ""

    @classmethod
    def read(cls, text: str) -> Self:
        """Of DOCKERFILE or DOCKERFILE:STAGE, the path from the root of the checkout."""
        dockerfile, _, stage = text.partition(":")
        return cls(CHECKOUT / dockerfile, stage)

    @property
    def options(self) -> list[str | Path]:
        """buildah's."""
        return ["--file", self.dockerfile, *(["--target", self.stage] if self.stage else [])]


def build(places: Places, target: Target, reference: str, context: Path, arguments: Sequence[str]) -> None:
    """Build what is not there yet; the reference is a content hash, so a known one is up to date.

    `arguments`: NAME=VALUE each, beside the base image.
    """
    if exists(places, reference):
        return
    base = ensure_debian_image(places, PYTHON)
    log = places.cache / "logs" / f"build-{target.stage or target.dockerfile.parent.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    with step(f"Building {reference}") as progress:
        command = build_command(places, target, reference, (f"BASE_IMAGE={base}", *arguments))
        run_long(command, log=log, progress=progress, cwd=context, detail=lambda: last_instruction(log))
    remove_old_builds(places)


def build_command(places: Places, target: Target, reference: str, arguments: Sequence[str]) -> list[str | Path]:
    given = [f"--build-arg={argument}" for argument in arguments]
    options = ["--isolation=chroot", "--layers", "--pull-never", *given, *lent_by_the_machine()]
    return buildah(places, "build", *options, *target.options, "--tag", reference, ".")


def lent_by_the_machine() -> list[str]:
    return [f"--volume={path}:{path}:ro" for path in LENT if path.exists()]


def last_instruction(log: Path) -> str:
    steps = [line for line in log.read_text(errors="replace").splitlines() if "STEP " in line]
    return steps[-1][:60] if steps else ""


def remove_old_builds(places: Places) -> None:
    """Every change of a line makes an image; without this they would fill the disk in some weeks."""
    listed = json.loads(run(buildah(places, "images", "--json")))
    if old := old_builds(listed, datetime.now(UTC)):
        succeeds(buildah(places, "rmi", *old))  # one that is in use stays for the next time


def old_builds(listed: Iterable[Mapping[str, Any]], now: datetime) -> list[str]:
    """Names, and ids of what has no name, of the images that buildah lists and that are not needed any more.

    A young one stays in any case: a checkout that is at work beside this one may be about to build on it.
    """
    builds: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for image in sorted(listed, key=lambda image: str(image["createdatraw"]), reverse=True):
        is_young = now - datetime.fromisoformat(image["createdatraw"]) < YOUNG
        for name in image["names"] or [""]:  # a build's first stage has no name
            builds[name.rpartition(":")[0]].append((name or image["id"], is_young))
    stages = builds.pop("", [])
    candidates = [*stages[KEPT * len(builds) :], *(build for names in builds.values() for build in names[KEPT:])]
    return [name for name, is_young in candidates if not is_young]
