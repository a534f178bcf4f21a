"""Which tests run on which RabbitMQ, and how often kills are repeated: with a real pytest and our conftest."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(180)  # each starts a pytest with plugins on a machine that may be busy
SUITE = """
import pytest
from workqueue_broker.declaration import QueueType

def test_of_the_broker(rabbitmq_version): ...
@pytest.mark.any_rabbitmq
def test_of_ours(rabbitmq_version): ...
def test_of_neither(): ...
def test_rounds(rounds): assert rounds == 3
@pytest.mark.kills
@pytest.mark.parametrize("type_", list(QueueType))
def test_of_kills(rabbitmq_version, type_): ...
"""


def run(folder: Path, *flags: str) -> list[str]:
    """The lines that a pytest prints about the suite."""
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "pytest.ini").write_text(
        "[pytest]\nmarkers =\n any_rabbitmq\n kills\nasyncio_default_fixture_loop_scope = function\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.conftest", str(folder)]
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, *flags], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def chosen_of(folder: Path, marked: str, *flags: str) -> list[str]:
    """The names of the suite's tests that a pytest chooses."""
    lines = run(folder, "--collect-only", "-m", marked, *flags)
    return [line.partition("::")[2] for line in lines if "::" in line]


@pytest.mark.parametrize("given", ["3.10,4.0", "4.0 3.10", "4.0,3.9,3.10"])
def test_a_test_runs_on_every_version_and_one_marked_any_rabbitmq_on_the_newest(tmp_path: Path, given: str) -> None:
    wanted = {f"test_of_the_broker[{version}]" for version in given.replace(",", " ").split()}
    collected = chosen_of(tmp_path, "not kills", "--rabbitmq", given)
    assert set(collected) == wanted | {"test_of_ours[4.0]", "test_of_neither", "test_rounds"}


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (("--rabbitmq", "3.10,4.0"), ["3.10-Classic", "4.0-Quorum"]),
        (("--rabbitmq", "4.0"), ["4.0-Classic", "4.0-Quorum"]),
        (("--rabbitmq", "3.10,4.0", "--rounds", "2"), ["3.10-Classic", "3.10-Quorum", "4.0-Classic", "4.0-Quorum"]),
    ],
    ids=["one round", "one version", "many rounds"],
)
def test_one_round_of_kills_has_each_version_and_each_type_of_queue(
    tmp_path: Path, flags: tuple[str, ...], wanted: list[str]
) -> None:
    assert sorted(chosen_of(tmp_path, "kills", *flags)) == [f"test_of_kills[{parameters}]" for parameters in wanted]


def test_kills_are_repeated_as_often_as_asked_for(tmp_path: Path) -> None:
    assert "1 passed" in run(tmp_path, "--rounds", "3", "-k", "test_rounds")[-1]
