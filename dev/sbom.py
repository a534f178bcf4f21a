"""Writes the SBOM of an image from what lies in its archive: the Python packages, with licenses and dependencies.

cyclonedx-py reads them as they were installed, not as a lock lists them. The packages of the base image's
operating system are not in it.
"""

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
CYCLONEDX = CHECKOUT / ".venv-release" / "bin" / "cyclonedx-py"
METADATA = re.compile(r"opt/workqueue/lib/python3\.\d+/site-packages/([^/]+\.dist-info/.+)")


def write_sbom(archive: Path, sbom: Path, source: Path, epoch: int) -> None:
    """CycloneDX 1.6 as JSON. `archive`: an OCI image; `source`: the project's folder; `epoch`: its time stamp."""
    with tempfile.TemporaryDirectory() as scratch:
        packages = Path(scratch, "site-packages")
        unpack_metadata(archive, packages)
        command: list[str | Path] = [
            CYCLONEDX,
            "environment",
            interpreter_of(packages),
            "--pyproject",
            source / "pyproject.toml",
        ]
        form = ("--output-reproducible", "--spec-version", "1.6", "--output-format", "JSON", "--output-file", sbom)
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
        subprocess.run([*command, *form], env=environment, stdout=sys.stderr, check=True)


def interpreter_of(packages: Path) -> Path:
    """What cyclonedx-py asks an environment's interpreter for is its path, and here that is one folder."""
    program = packages.parent / "python"
    program.write_text(f"#!/bin/sh\necho '{json.dumps([str(packages)])}'\n")
    program.chmod(0o755)
    return program


def unpack_metadata(archive: Path, into: Path) -> None:
    """The `.dist-info` folders of an image's Python environment."""
    into.mkdir()
    for layer in layers(archive):
        for member in layer:
            found = METADATA.fullmatch(member.name)
            if found and member.isfile():
                layer.extract(member.replace(name=found[1], deep=False), into, filter="data")


def layers(archive: Path) -> Iterator[tarfile.TarFile]:
    """Of the only image in an OCI archive, the base's first."""
    with tarfile.open(archive) as image:
        index = json.loads(blob(image, "index.json"))
        manifest = json.loads(blob(image, blob_name(index["manifests"][0]["digest"])))
        for described in manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(blob(image, blob_name(described["digest"])))) as layer:
                yield layer


def blob_name(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"


def blob(image: tarfile.TarFile, name: str) -> bytes:
    file = image.extractfile(name)
    assert file is not None, name
    return file.read()
