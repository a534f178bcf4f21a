"""`python3 -m dev.release`: builds what a release publishes into dist/, from the last commit and nothing else.

Wheel and sdist, packaged charts, images as OCI archives with an SBOM each, and SHA256SUMS. Every time stamp is that of
the commit. docs/releasing.md says what is the same in two builds.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dev.archives import write_tar, write_tar_gz
from dev.images import LOCAL_CLUSTER, PARTS
from dev.local_cluster.base_images import buildah
from dev.local_cluster.image_building import lent_by_the_machine
from dev.local_cluster.locks import lock_file, locked
from dev.local_cluster.node_program import bin_folder
from dev.local_cluster.places import places
from dev.sbom import CYCLONEDX, write_sbom

CHECKOUT = Path(__file__).resolve().parents[1]

CHARTS = ("workqueue", "workqueue-operator")
SUMS = "SHA256SUMS"


class CannotRelease(Exception):
    """The message says what to change."""


@dataclass(frozen=True)
class Release:
    """`source`: the files of the commit. `folder`: what is built goes there. `epoch`: the commit's time, Unix seconds.

    `base`: the image that ours are built on; empty: the one that the Dockerfile names.
    """

    source: Path
    folder: Path
    version: str
    epoch: int
    base: str = ""


def main() -> int:
    chosen = arguments()
    try:
        check_tag(chosen.tag, project_version(CHECKOUT), (CHECKOUT / "CHANGELOG.md").read_text())
        check_replaceable(chosen.into)
        build(chosen.into, chosen.part, chosen.base)
    except CannotRelease as problem:
        print(f"Error: {problem}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return int(error.returncode)  # the program that failed has printed why
    print(f"{chosen.into}:\n{(chosen.into / SUMS).read_text()}", end="")
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m dev.release", description=__doc__)
    parser.add_argument("part", nargs="*", choices=[[], *BUILDERS], default=[], help="default: all")
    parser.add_argument("--into", type=Path, default=CHECKOUT / "dist", help="a folder to replace; default: dist")
    parser.add_argument("--base", default="", help="the images' base; `local`: the Python of the local cluster")
    parser.add_argument("--tag", default="", help="stop unless this tag is that of the version, such as v1.2.3")
    return parser.parse_args()


def check_tag(tag: str, version: str, changelog: str) -> None:
    """Whether a tag may be released; an empty one always may, as nothing is published then. Raises CannotRelease."""
    if not tag:
        return
    if tag != f"v{version}":
        raise CannotRelease(f"the tag is {tag}, but pyproject.toml has version {version}: tag v{version}, or change it")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        raise CannotRelease(f"CHANGELOG.md has no dated heading for {version}: write `## [{version}] - YYYY-MM-DD`")


def check_replaceable(folder: Path) -> None:
    """Raises CannotRelease for a folder that holds something other than an earlier release."""
    if folder.exists() and any(folder.iterdir()) and not (folder / SUMS).exists():
        raise CannotRelease(f"{folder} holds files, and no {SUMS} of an earlier release: remove it, or choose --into")


def build(into: Path, parts: Sequence[str], base: str) -> None:
    """Whole or not at all: an earlier release in `into` stays until this one is finished."""
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=f"{into.name}.part.") as partial:
        source, folder = Path(partial, "source"), Path(partial, "folder")
        folder.mkdir()
        export_commit(source)
        release = Release(source, folder, project_version(source), commit_time(), base)
        for part in parts or BUILDERS:
            BUILDERS[part](release)
        (folder / SUMS).write_text(checksums(folder.iterdir()))
        shutil.rmtree(into, ignore_errors=True)
        folder.rename(into)


def export_commit(source: Path) -> None:
    """The committed files with the modes that git keeps: no umask and no file that is not in git plays a part."""
    source.mkdir()
    archive = subprocess.run(
        ["git", "-c", "tar.umask=0022", "archive", "HEAD"], cwd=CHECKOUT, stdout=subprocess.PIPE, check=True
    ).stdout
    subprocess.run(["tar", "--extract", "--preserve-permissions"], cwd=source, input=archive, check=True)
    if subprocess.run(["git", "status", "--porcelain"], cwd=CHECKOUT, capture_output=True, check=True).stdout:
        print("Changes that are not committed are not in this release.", file=sys.stderr)


def commit_time() -> int:
    """Of the last commit, in Unix seconds."""
    shown = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=CHECKOUT, stdout=subprocess.PIPE, check=True)
    return int(shown.stdout)


def project_version(source: Path) -> str:
    return str(tomllib.loads((source / "pyproject.toml").read_text())["project"]["version"])


def checksums(files: Iterable[Path]) -> str:
    """In the form of `sha256sum`, for `sha256sum --check`."""
    ordered = sorted(files, key=lambda file: file.name)
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in ordered)


def run(command: Sequence[str | Path], release: Release) -> None:
    """In the source, with the commit's time; what the program prints goes to stderr."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(release.epoch)}
    subprocess.run([str(word) for word in command], cwd=release.source, env=environment, stdout=sys.stderr, check=True)


def build_python(release: Release) -> None:
    run([sys.executable, "-m", "hatchling", "build", "--directory", release.folder], release)


def build_charts(release: Release) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for chart in CHARTS:
            run([helm(), "package", "--destination", scratch, f"charts/{chart}"], release)
            name = f"{chart}-{release.version}.tgz"
            unpacked = Path(scratch, "unpacked", chart)
            shutil.unpack_archive(Path(scratch, name), unpacked, filter="data")
            write_tar_gz(release.folder / name, unpacked, release.epoch)


def helm() -> str:
    """The program of the PATH, or the local cluster's."""
    found = os.environ.get("HELM") or shutil.which("helm")
    if found is None and shutil.which("go"):
        found = shutil.which("helm", path=bin_folder(places()))
    if found:
        return found
    raise CannotRelease("helm is missing: put it on the PATH, or run make cluster-up, which builds it")


def build_images(release: Release) -> None:
    for program, remedy in (("buildah", "install it"), (CYCLONEDX, "run make release, which installs it")):
        if shutil.which(program) is None:
            raise CannotRelease(f"{program} is missing: {remedy}")
    base = local_base() if release.base == "local" else release.base
    with locked(lock_file("release-images"), "the images of a release"):  # their names in the store are the same
        for part in PARTS:
            archive = build_image(release, part, base)
            sbom = archive.with_name(archive.name.replace(".oci.tar", ".cdx.json"))
            write_sbom(archive, sbom, release.source, release.epoch)


def build_image(release: Release, part: str, base: str) -> Path:
    """Without any layer of an earlier build, so that two builds are two. Returns the archive."""
    archive = release.folder / f"workqueue-{part}-{release.version}.oci.tar"
    image = f"localhost/workqueue-release/{part}:{release.version}"
    made_from = ("--target", part, "--tag", image, ".")
    run(buildah(places(), *image_options(release.epoch, base), *made_from), release)
    with tempfile.TemporaryDirectory(dir=release.folder.parent) as layout:
        run(buildah(places(), "push", image, f"oci:{layout}:{image}"), release)
        write_tar(archive, Path(layout), release.epoch)
    return archive


def image_options(epoch: int, base: str) -> list[str]:
    """`base`: empty for the one that the Dockerfile names, which is pulled."""
    pull = "--pull=never" if base.startswith("localhost/") else "--pull=always"
    given = [f"--build-arg=BASE_IMAGE={base}"] if base else []
    once = ("--isolation=chroot", "--no-cache", "--layers=false")
    return ["build", *once, f"--timestamp={epoch}", pull, *given, *lent_by_the_machine()]


def local_base() -> str:
    return subprocess.run(
        [*LOCAL_CLUSTER, "base", "python"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


BUILDERS: dict[str, Callable[[Release], None]] = {
    "python": build_python,
    "charts": build_charts,
    "images": build_images,
}


if __name__ == "__main__":
    sys.exit(main())
