"""The task of every contender: waits so many seconds, counts, and tells the rate once the last one is done.

The time runs from the end of the first task to the end of the last, so no contender's start counts.
"""

import itertools
import os
import time
from pathlib import Path

URI = os.environ["BENCHMARK_URI"]
QUEUE = os.environ["BENCHMARK_QUEUE"]
#: quorum or classic.
QUEUE_TYPE = os.environ["BENCHMARK_QUEUE_TYPE"]
TASKS = int(os.environ["BENCHMARK_TASKS"])
SECONDS = float(os.environ["BENCHMARK_TASK_SECONDS"])
PREFETCH = int(os.environ["BENCHMARK_PREFETCH"])

_numbers = itertools.count(1)  # next() is one step under the lock of the interpreter, so threads may share it
_first = 0.0


def work() -> None:
    """One task."""
    global _first  # noqa: PLW0603 - the one clock of this process
    if SECONDS:
        time.sleep(SECONDS)
    number = next(_numbers)
    if number == 1:
        _first = time.monotonic()
    if number == TASKS:
        rate = (TASKS - 1) / (time.monotonic() - _first)
        part = Path(os.environ["BENCHMARK_RESULT"] + ".part")
        part.write_text(str(rate), encoding="utf-8")
        part.rename(os.environ["BENCHMARK_RESULT"])  # whole or not at all: somebody waits for it
