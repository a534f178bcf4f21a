"""Brings images from buildah's store into the cluster's containerd, without a registry.

Rule: containerd is given only the layers that it lacks, so a new build of a part costs its own last layers there, not
those of its base again. `build` and `load` of the command line call it, and the start of the cluster.
"""

import hashlib
import io
import json
import tarfile
import tempfile
from pathlib import Path

from dev.local_cluster.base_images import buildah
from dev.local_cluster.console import step
from dev.local_cluster.containerd import ctr, images
from dev.local_cluster.places import Places
from dev.local_cluster.programs import run

CONTENT = "io.containerd.content.v1.content/blobs/sha256"
LAYOUT = {"imageLayoutVersion": "1.0.0"}


def load(places: Places, references: list[str]) -> None:
    """Load what is not there yet; names are content hashes, so a known name is a known image."""
    present = images(places)
    for reference in references:
        if reference not in present:
            with step(f"Loading {reference}"):
                load_one(places, reference)


def load_one(places: Places, reference: str) -> None:
    with tempfile.TemporaryDirectory(dir=places.partial) as name:
        folder = Path(name)
        # Of what buildah writes, only a plain folder leaves layers uncompressed, so that known ones are known again.
        run(buildah(places, "push", "--quiet", "--disable-compression", reference, f"dir:{folder}"))
        archive = folder / "new-layers.tar"
        write_archive(folder, archive, reference, known_blobs(places))
        ctr(places, "images", "import", archive)


def known_blobs(places: Places) -> set[str]:
    return {blob.name for blob in (places.image_store / CONTENT).glob("*")}


def write_archive(folder: Path, archive: Path, reference: str, known: set[str]) -> None:
    """An OCI image layout of the manifest and of the blobs that are not known."""
    manifest = (folder / "manifest.json").read_bytes()
    document = json.loads(manifest)
    entry = {
        "mediaType": document["mediaType"],
        "digest": f"sha256:{hashlib.sha256(manifest).hexdigest()}",
        "size": len(manifest),
        "annotations": {"io.containerd.image.name": reference},
    }
    wanted = [blob["digest"].removeprefix("sha256:") for blob in (document["config"], *document["layers"])]
    with tarfile.open(archive, "w") as tar:
        add_bytes(tar, "oci-layout", json.dumps(LAYOUT).encode())
        add_bytes(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
        add_bytes(tar, f"blobs/sha256/{hashlib.sha256(manifest).hexdigest()}", manifest)
        for digest in wanted:
            if digest not in known:
                tar.add(folder / digest, f"blobs/sha256/{digest}")


def add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
