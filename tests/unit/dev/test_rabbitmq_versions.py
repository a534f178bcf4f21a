"""Which tests run on which RabbitMQ, and how often kills are repeated: with a real pytest and our conftest."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(180)  # each starts a pytest with plugins on a machine that may be busy
SUITE = """
import pytest

def test_of_the_broker(rabbitmq_version): ...
@pytest.mark.any_rabbitmq
def test_of_ours(rabbitmq_version): ...
def test_of_neither(): ...
def test_rounds(rounds): assert rounds == 3
"""


def run(folder: Path, *flags: str) -> list[str]:
    """The lines that a pytest prints about the suite."""
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "pytest.ini").write_text(
        "[pytest]\nmarkers = any_rabbitmq\nasyncio_default_fixture_loop_scope = function\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.conftest", str(folder)]
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, *flags], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


@pytest.mark.parametrize("given", ["3.10,4.0", "4.0 3.10", "4.0,3.9,3.10"])
def test_a_test_runs_on_every_version_and_one_marked_any_rabbitmq_on_the_newest(tmp_path: Path, given: str) -> None:
    lines = run(tmp_path, "--collect-only", "--rabbitmq", given)
    collected = [line.partition("::")[2] for line in lines if "::" in line]
    wanted = {f"test_of_the_broker[{version}]" for version in given.replace(",", " ").split()}
    assert set(collected) == wanted | {"test_of_ours[4.0]", "test_of_neither", "test_rounds"}


def test_kills_are_repeated_as_often_as_asked_for(tmp_path: Path) -> None:
    assert "1 passed" in run(tmp_path, "--rounds", "3", "-k", "test_rounds")[-1]
