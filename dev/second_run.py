"""The second run of what failed in tests with real brokers and nodes, with nothing beside it, which decides.

It is no pardon: the first failure stays in the output, and the last lines name each test that ran twice.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

#: What a line about such a test begins with.
RUN_ONCE_MORE = "Run once more: "
#: More failures of one suite are no accident of a busy machine, and stand.
MOST_TESTS = 2
#: pytest's flags for it.
FLAGS = ("--last-failed", "--last-failed-no-failures=none")


def decided(code: int, cache: Path, run_again: Callable[[], int]) -> int:
    """The exit code of a suite whose first run ended with `code`, and wrote to this cache of pytest.

    A test marked `once` has another code (tests/conftest.py), as has a run that was interrupted: these stand.
    """
    if code != pytest.ExitCode.TESTS_FAILED:
        return code
    names = failed(cache)
    if len(names) > MOST_TESTS:
        print(f"{len(names)} tests failed, more than {MOST_TESTS}: none runs once more", flush=True)
        return code
    print("Once more, what failed", flush=True)
    code = run_again()
    for name in names:
        print(f"{RUN_ONCE_MORE}{name}", flush=True)
    return code


def failed(cache: Path) -> list[str]:
    """The tests that failed in the last run with this cache of pytest."""
    found: dict[str, bool] = json.loads((cache / "v" / "cache" / "lastfailed").read_text())
    return sorted(found)
