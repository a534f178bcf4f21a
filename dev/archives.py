"""Tar archives that depend on the files' names, contents and execute bits alone."""

import gzip
import tarfile
from collections.abc import Callable
from pathlib import Path


def write_tar(archive: Path, folder: Path, epoch: int) -> None:
    """All files of a folder: sorted, of owner 0, of one time (`epoch`, Unix seconds). Folders have no entry."""
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        add_files(tar, folder, epoch)


def write_tar_gz(archive: Path, folder: Path, epoch: int) -> None:
    """The same, compressed; gzip's own header has neither a name nor a time."""
    with (
        archive.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        add_files(tar, folder, epoch)


def add_files(tar: tarfile.TarFile, folder: Path, epoch: int) -> None:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        tar.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=normalized(epoch))


def normalized(epoch: int) -> Callable[[tarfile.TarInfo], tarfile.TarInfo]:
    def change(member: tarfile.TarInfo) -> tarfile.TarInfo:
        mode = 0o755 if member.mode & 0o100 else 0o644
        return member.replace(mtime=epoch, mode=mode, uid=0, gid=0, uname="", gname="", deep=False)

    return change
