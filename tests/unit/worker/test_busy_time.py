"""How long handlers have had tasks, those that run now included."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workqueue_worker.busy_time import BusyTime

from tests.support.fakes import ManualClock


def test_busy_time_is_the_sum_over_all_tasks_those_that_still_run_included() -> None:
    clock = ManualClock()
    busy = BusyTime(clock.monotonic)
    clock.advance(10)
    assert busy.seconds == 0
    busy.begin()
    clock.advance(100)
    assert busy.seconds == 100
    busy.begin()
    clock.advance(10)
    assert busy.seconds == 120
    busy.end()
    clock.advance(1)
    busy.end()
    clock.advance(1000)
    assert busy.seconds == 121


@given(st.lists(st.tuples(st.floats(0, 1e4), st.booleans())))
def test_busy_time_never_falls_and_grows_no_faster_than_tasks_run(steps: list[tuple[float, bool]]) -> None:
    clock = ManualClock()
    busy = BusyTime(clock.monotonic)
    in_hand, seen, most = 0, [0.0], 0.0
    for seconds, begins in steps:
        most += in_hand * seconds
        clock.advance(seconds)
        if begins:
            busy.begin()
            in_hand += 1
        elif in_hand:
            busy.end()
            in_hand -= 1
        seen.append(busy.seconds)
    assert all(before <= after for before, after in pairwise(seen))
    assert seen[-1] == pytest.approx(most)
