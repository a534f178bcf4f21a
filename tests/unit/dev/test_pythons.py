"""Which program is a version of Python: by what it answers, from the PATH, pyenv or uv."""

import sys
from pathlib import Path

import pytest

from dev.local_cluster.console import ClusterError
from dev.pythons import find

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
#: As pyenv's shim: without a chosen version it fails.
SHIM = 'test "$PYENV_VERSION" = 3.99 || exit 127; echo 3.99 /opt/pyenv/3.99.1/bin/python'


def program(folder: Path, name: str, script: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return str(folder)


def test_the_program_of_the_path_is_taken(tmp_path: Path) -> None:
    (tmp_path / f"python{OWN}").symlink_to(sys.executable)
    assert find(OWN, str(tmp_path)).resolve() == Path(sys.executable).resolve()


def test_pyenvs_program_is_asked_for_the_version(tmp_path: Path) -> None:
    assert find("3.99", program(tmp_path, "python3.99", SHIM)) == Path("/opt/pyenv/3.99.1/bin/python")


@pytest.mark.parametrize("unusable", ["exit 127", "echo 3.98 /usr/bin/python3.98"])
def test_a_program_of_the_name_that_is_another_version_or_does_not_start_is_passed_over(
    tmp_path: Path, unusable: str
) -> None:
    first = program(tmp_path / "first", "python3.99", unusable)
    second = program(tmp_path / "second", "python3", "echo 3.99 /usr/bin/python3.99")
    assert find("3.99", f"{first}:{second}") == Path("/usr/bin/python3.99")


def test_uv_finds_or_installs_the_one_that_is_missing(tmp_path: Path) -> None:
    program(tmp_path / "uvs", "python", "echo 3.99 /uv/python3.99")
    uv = f'case "$2" in install) touch {tmp_path}/$3;; find) cat {tmp_path}/$3 && echo {tmp_path}/uvs/python;; esac'
    path = f"{program(tmp_path / 'bin', 'uv', uv)}:/usr/bin:/bin"
    assert find("3.99", path) == Path("/uv/python3.99")


def test_the_error_names_the_version_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"Python 3\.99 is missing: put python3\.99 on the PATH \(`pyenv install"):
        find("3.99", program(tmp_path, "uv", "exit 2"))
