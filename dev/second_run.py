"""Which failures of a test run get a second run, and which stand."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
AGAIN = ("--last-failed", "--last-failed-no-failures=none")


def stands(command: Sequence[str]) -> bool:
    """True when one of the failed tests is marked `once`: with its next seed a lost task would not show again.

    `command`: pytest as it ran, with its cache.
    """
    asked = [*command, *AGAIN, "--collect-only", "-q", "-m", "once"]
    done = subprocess.run(asked, cwd=CHECKOUT, stdout=subprocess.DEVNULL, check=False)
    found = done.returncode != pytest.ExitCode.NO_TESTS_COLLECTED
    if found:
        print("No second run: among the failed tests is one marked `once`", flush=True)
    return found
