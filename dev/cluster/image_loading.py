"""Brings images from buildah's store into the cluster's containerd, without a registry.

Rule: only layers that containerd lacks are written: buildah is shown the others as empty files of the right size, and
the archive leaves them out. So a new build of a part costs its own last layers, not its base again.
"""

import io
import json
import tarfile
import tempfile
from pathlib import Path

from base_images import buildah
from console import step
from containerd import ctr, images
from places import Places
from programs import run

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
    with tempfile.TemporaryDirectory(dir=places.cache, prefix="load-") as folder:
        layout = Path(folder)
        known = show_known_layers(places, layout)
        run(buildah(places, "push", "--quiet", "--disable-compression", reference, f"oci:{layout}:{reference}"))
        archive = layout / "new-layers.tar"
        write_archive(layout, archive, reference, known)
        ctr(places, "images", "import", archive)


def show_known_layers(places: Places, layout: Path) -> set[str]:
    """Put an empty (sparse) file of the right size in place of each blob that containerd has; return their names."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    known = set()
    for blob in (places.image_store / CONTENT).glob("*"):
        with (blobs / blob.name).open("wb") as stand_in:
            stand_in.truncate(blob.stat().st_size)
        known.add(blob.name)
    return known


def write_archive(layout: Path, archive: Path, reference: str, known: set[str]) -> None:
    index = json.loads((layout / "index.json").read_text())
    for manifest in index["manifests"]:
        manifest["annotations"] = {"io.containerd.image.name": reference}
    with tarfile.open(archive, "w") as tar:
        add_text(tar, "oci-layout", json.dumps(LAYOUT))
        add_text(tar, "index.json", json.dumps(index))
        for blob in sorted((layout / "blobs" / "sha256").iterdir()):
            if blob.name not in known:
                tar.add(blob, f"blobs/sha256/{blob.name}")


def add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text.encode())
    tar.addfile(entry, io.BytesIO(text.encode()))
