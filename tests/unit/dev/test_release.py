"""`make release`: when a tag may be released, what may be replaced, archives and SBOM of the same bytes."""

import gzip
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from dev.archives import write_tar, write_tar_gz
from dev.release import (
    CannotRelease,
    Release,
    build,
    build_images,
    check_replaceable,
    check_tag,
    checksums,
    image_options,
)
from dev.sbom import unpack_metadata

EPOCH = 1_700_000_000
CHANGELOG = "# Changelog\n\n## [1.2.3] - 2026-11-28\n\n## [1.2.2] - Unreleased\n"


def test_the_tag_of_the_version_is_released_and_so_is_a_build_without_a_tag() -> None:
    check_tag("v1.2.3", "1.2.3", CHANGELOG)
    check_tag("", "9.9.9", CHANGELOG)


@pytest.mark.parametrize(
    ("tag", "version", "reason"),
    [
        ("v1.2.4", "1.2.3", "pyproject.toml has version 1.2.3"),
        ("1.2.3", "1.2.3", "tag v1.2.3"),
        ("v1.2.2", "1.2.2", "CHANGELOG.md has no dated heading for 1.2.2"),
        ("v1.2.30", "1.2.30", "CHANGELOG.md has no dated heading for 1.2.30"),
    ],
)
def test_another_tag_is_refused_with_the_remedy(tag: str, version: str, reason: str) -> None:
    with pytest.raises(CannotRelease, match=reason):
        check_tag(tag, version, CHANGELOG)


def test_a_folder_that_holds_no_release_is_not_replaced(tmp_path: Path) -> None:
    check_replaceable(tmp_path / "missing")
    check_replaceable(tmp_path)
    (tmp_path / "thesis.txt").write_text("the only copy")
    with pytest.raises(CannotRelease, match="remove it, or choose --into"):
        check_replaceable(tmp_path)
    (tmp_path / "SHA256SUMS").touch()
    check_replaceable(tmp_path)


def test_sha256sum_accepts_the_checksums(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("b.whl", "a.tgz")]
    for file in files:
        file.write_bytes(os.urandom(100))
    (tmp_path / "SHA256SUMS").write_text(checksums(files))
    checking = ["sha256sum", "--check", "SHA256SUMS"]
    checked = subprocess.run(checking, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert checked.stdout == "a.tgz: OK\nb.whl: OK\n"


@pytest.mark.parametrize("write", [write_tar, write_tar_gz])
def test_archives_of_the_same_files_are_the_same_bytes(
    tmp_path: Path, write: Callable[[Path, Path, int], None]
) -> None:
    first = folder(tmp_path / "first", ["b", "a/x"], mode=0o600, time=1)
    second = folder(tmp_path / "second", ["a/x", "b"], mode=0o664, time=EPOCH + 5)
    write(tmp_path / "1", first, EPOCH)
    write(tmp_path / "2", second, EPOCH)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    with tarfile.open(tmp_path / "1") as tar:
        assert {(m.name, m.mode, m.uid, m.gid, m.mtime) for m in tar} == {(n, 0o644, 0, 0, EPOCH) for n in ("a/x", "b")}
        content = tar.extractfile("a/x")
        assert content is not None
        assert content.read() == b"content of a/x"


def test_a_program_stays_executable_in_an_archive(tmp_path: Path) -> None:
    write_tar(tmp_path / "tar", folder(tmp_path / "in", ["run"], mode=0o700, time=1), EPOCH)
    with tarfile.open(tmp_path / "tar") as tar:
        assert tar.getmember("run").mode == 0o755


def folder(path: Path, names: list[str], *, mode: int, time: int) -> Path:
    for name in names:
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"content of {name}")
        file.chmod(mode)
        os.utime(file, (time, time))
    return path


def test_the_sbom_is_made_from_the_packages_in_the_image_and_from_nothing_else_in_it(tmp_path: Path) -> None:
    site = "opt/workqueue/lib/python3.13/site-packages"
    base = layer({"usr/lib/python3/dist-packages/pip-1.dist-info/METADATA": "Name: pip"})
    ours = layer({f"{site}/pika-1.4.2.dist-info/METADATA": "Name: pika", f"{site}/pika/channel.py": "code"})
    image = oci_archive(tmp_path / "image.tar", [base, ours])
    unpack_metadata(image, tmp_path / "out")
    out = tmp_path / "out"
    found = {str(path.relative_to(out)): path.read_text() for path in out.rglob("*") if path.is_file()}
    assert found == {"pika-1.4.2.dist-info/METADATA": "Name: pika"}


def test_a_member_that_would_leave_the_folder_is_refused(tmp_path: Path) -> None:
    evil = layer({"opt/workqueue/lib/python3.13/site-packages/x.dist-info/../../../outside": "no"})
    with pytest.raises(tarfile.FilterError):
        unpack_metadata(oci_archive(tmp_path / "image.tar", [evil]), tmp_path / "out")


def layer(files: dict[str, str]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return gzip.compress(written.getvalue())


def oci_archive(path: Path, layers: list[bytes]) -> Path:
    manifest = json.dumps({"layers": [{"digest": digest(blob)} for blob in layers]}).encode()
    index = json.dumps({"manifests": [{"digest": digest(manifest)}]}).encode()
    blobs = {f"blobs/{digest(blob).replace(':', '/')}": blob for blob in (manifest, *layers)}
    with tarfile.open(path, "w") as tar:
        for name, data in {"index.json": index, **blobs}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def digest(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


def test_images_are_built_from_nothing_kept_and_with_the_time_of_the_commit() -> None:
    official = image_options(EPOCH, "")
    assert {"--no-cache", "--layers=false", f"--timestamp={EPOCH}", "--pull=always"} <= set(official)
    assert not any(option.startswith("--build-arg") for option in official)


def test_a_base_of_this_machine_is_not_pulled() -> None:
    local = image_options(EPOCH, "localhost/workqueue/python:abc")
    assert {"--pull=never", "--build-arg=BASE_IMAGE=localhost/workqueue/python:abc"} <= set(local)


def test_two_builds_of_wheel_and_sdist_are_the_same_bytes(tmp_path: Path) -> None:
    sums = []
    for name in ("first", "second"):
        build(tmp_path / name, ["python"], "")
        sums.append((tmp_path / name / "SHA256SUMS").read_text())
    assert sums[0] == sums[1]
    (wheel,) = (tmp_path / "first").glob("*.whl")
    assert {path.suffix for path in (tmp_path / "first").iterdir()} == {".whl", ".gz", ""}
    assert wheel.name in sums[0]


def test_a_build_that_fails_leaves_the_earlier_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = tmp_path / "dist"
    earlier.mkdir()
    (earlier / "SHA256SUMS").write_text("earlier")
    monkeypatch.setenv("HELM", "/bin/false")
    with pytest.raises(subprocess.CalledProcessError):
        build(earlier, ["charts"], "")
    assert (earlier / "SHA256SUMS").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]


def test_a_missing_program_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotRelease, match="buildah is missing: install it"):
        build_images(Release(tmp_path, tmp_path, "1.2.3", EPOCH))
