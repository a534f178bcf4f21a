"""The turn of the tests: of several checkouts on a machine, one runs its broker and cluster tests (decision 0010)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from dev.local_cluster.locks import lock_file, locked

#: In the environment of what runs inside a turn: a suite that finds it shares the turn of the program that started it.
HELD = "WORKQUEUE_TESTS_TURN"


@contextmanager
def turn(use: str) -> Iterator[None]:
    """Wait until no other checkout tests, and hold the turn inside the block, for all that it starts."""
    if HELD in os.environ:
        yield
        return
    with locked(lock_file("tests"), use):
        os.environ[HELD] = str(os.getpid())
        try:
            yield
        finally:
            del os.environ[HELD]
