"""Where the program that draws the pictures comes from: the PATH, or Debian's package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def asked(path: Path, cache: Path) -> "subprocess.CompletedProcess[str]":
    """`python3 -m dev.chromium` with this PATH alone."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PATH": str(path)}
    command = [sys.executable, "-m", "dev.chromium"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def program(path: Path, text: str = "") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("name", ["chromium", "google-chrome"])
def test_a_program_on_the_path_is_used(name: str, tmp_path: Path) -> None:
    there = program(tmp_path / "bin" / name)
    done = asked(tmp_path / "bin", tmp_path / "cache")
    assert (done.returncode, done.stdout.strip()) == (0, there)


def test_without_it_and_without_debian_the_remedy_is_named(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    done = asked(tmp_path / "bin", tmp_path / "cache")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: Chromium is missing: install Chromium (Debian: apt-get install chromium) and put it on the PATH\n"
    )
