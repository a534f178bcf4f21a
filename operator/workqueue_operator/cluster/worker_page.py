"""A worker's metrics page: how many tasks it has in progress. Pure.

The page is what a tenant's pod says, so its samples are bounded in number and length, and searched for in the bytes.
"""

import math
import re

TASKS_IN_PROGRESS = "workqueue_tasks_in_progress"
#: A worker has a sample for each of its queues; none is longer than a queue's name and some labels of a scraper.
MOST_SAMPLES = 1000
MAX_SAMPLE_BYTES = 2048
#: More tasks than any worker has: a number above it is none. The status sums up all workers as an int32.
MOST_TASKS = 10_000
#: A line of the gauge itself, not of a metric whose name only begins like it.
_LINE = re.compile(rb"^%b(?=[{ \t\r]|$)(.*)$" % TASKS_IN_PROGRESS.encode(), re.MULTILINE)
#: The rest of it: labels, whose values may hold anything, then the value, then perhaps a time.
_SAMPLE = re.compile(rb"(?:\{.*\})?\s+(\S+)(?:\s+\S+)?\s*")


def tasks_in_progress(page: bytes) -> int | None:
    """The sum over the worker's queues; None when the page is not whole.

    A part of a task counts as one. What cannot be a number of tasks (NaN, infinite, below 0) is no answer.
    """
    total, samples = 0.0, 0
    for line in _LINE.finditer(page):
        value, samples = _value(line[1]), samples + 1
        if value is None or samples > MOST_SAMPLES:
            return None
        total += value
    return math.ceil(total) if samples and total <= MOST_TASKS else None


def _value(rest: bytes) -> float | None:
    found = _SAMPLE.fullmatch(rest) if len(rest) <= MAX_SAMPLE_BYTES else None
    try:
        value = float(found[1]) if found else math.nan
    except ValueError:
        return None
    return value if 0 <= value <= MOST_TASKS else None
