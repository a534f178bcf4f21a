"""The task of every contender: waits so many seconds, counts, and reports the rate once the last one is done.

The first fifth of the tasks is not timed: a contender may take its first ones before it has wholly started, as
Celery's solo pool does while it makes its queues for delays.
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
_WARM_UP = max(1, TASKS // 5)
_began = 0.0


def work() -> None:
    """One task."""
    global _began  # noqa: PLW0603 - the one clock of this process
    if SECONDS:
        time.sleep(SECONDS)
    number = next(_numbers)
    if number == _WARM_UP:
        _began = time.monotonic()
    if number == TASKS:
        rate = (TASKS - _WARM_UP) / (time.monotonic() - _began)
        part = Path(os.environ["BENCHMARK_RESULT"] + ".part")
        part.write_text(str(rate), encoding="utf-8")
        part.rename(os.environ["BENCHMARK_RESULT"])  # whole or not at all: the benchmark waits for it
