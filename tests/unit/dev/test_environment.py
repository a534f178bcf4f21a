"""The Python environment is made once for each state of what it is made from, also when two makes want it at once."""

import os
from pathlib import Path

import pytest

from dev.environment import STAMP, is_current


@pytest.fixture
def made_from(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.lock"
    path.touch()
    os.utime(path, (1000, 1000))
    return path


@pytest.mark.parametrize(("made_at", "current"), [(999, False), (1000, True), (1001, True)])
def test_it_is_current_unless_the_lock_is_younger(tmp_path: Path, made_from: Path, made_at: int, current: bool) -> None:
    (tmp_path / STAMP).touch()
    os.utime(tmp_path / STAMP, (made_at, made_at))
    assert is_current(tmp_path, [made_from]) is current


def test_one_whose_installation_was_killed_is_not(tmp_path: Path, made_from: Path) -> None:
    assert not is_current(tmp_path, [made_from])
