"""Where the tests' Prometheus comes from: the PATH, the cache, or Debian's package."""

import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BIN = "usr/bin"


def asked(cache: Path, *path: Path) -> "subprocess.CompletedProcess[str]":
    """`python3 -m dev.prometheus` with this cache and PATH."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, "-m", "dev.prometheus"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def programs_in(folder: Path) -> list[str]:
    folder.mkdir(parents=True)
    paths = [folder / name for name in ("prometheus", "promtool")]
    for path in paths:
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    return [str(path) for path in paths]


def cached_folder(cache: Path) -> Path:
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "unknown")
    return cache / "workqueue" / f"prometheus-{release}-{platform.machine()}" / BIN


def test_programs_on_the_path_are_used(tmp_path: Path) -> None:
    on_path = programs_in(tmp_path / "bin")
    programs_in(cached_folder(tmp_path / "cache"))
    done = asked(tmp_path / "cache", tmp_path / "bin")
    assert done.stdout.split() == on_path


def test_one_of_the_two_on_the_path_is_not_enough(tmp_path: Path) -> None:
    prometheus, _ = programs_in(tmp_path / "bin")
    Path(prometheus).unlink()
    cached = programs_in(cached_folder(tmp_path / "cache"))
    assert asked(tmp_path / "cache", tmp_path / "bin").stdout.split() == cached


def test_a_filled_cache_is_used_in_silence(tmp_path: Path) -> None:
    cached = programs_in(cached_folder(tmp_path))
    done = asked(tmp_path, tmp_path / "nothing")
    assert done.stdout.split() == cached
    assert done.stderr == ""


def test_without_debians_package_the_error_names_the_remedy(tmp_path: Path) -> None:
    done = asked(tmp_path, tmp_path / "nothing")
    assert done.returncode == 1
    assert "apt-get" in done.stderr
    assert "put prometheus and promtool on the PATH" in done.stderr


def test_a_download_that_fails_leaves_nothing_half_done(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("apt-get", "dpkg-deb"):
        (tools / name).write_text("#!/bin/sh\necho 'no network' >&2\nexit 100\n")
        (tools / name).chmod(0o755)
    done = asked(tmp_path, tools)
    assert done.returncode == 1
    assert "no network" in done.stderr
    assert "put prometheus and promtool on the PATH" in done.stderr
    assert not list((tmp_path / "workqueue").glob("prometheus-*"))
