"""How much is written about one WorkQueue, whatever it does, and that the last state is always written."""

from hypothesis import given
from hypothesis import strategies as st
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.status.write_budget import BURST, SECONDS_PER_WRITE, WriteBudget

from tests.support.passes import Operator, body


@given(st.lists(st.floats(0, 30), max_size=200))
def test_never_more_than_the_burst_and_the_rate(pauses: list[float]) -> None:
    budget, now, taken = WriteBudget(), 0.0, 0
    for pause in pauses:
        now += pause
        taken += budget.take(now)
        assert taken <= BURST + now / SECONDS_PER_WRITE + 1e-6


def test_a_clock_that_goes_back_gives_no_writes() -> None:
    budget = WriteBudget()
    while budget.take(1000.0):
        pass
    assert not budget.take(500.0)
    assert not budget.take(501.0)


def test_it_is_limited_until_it_is_full_again() -> None:
    budget = WriteBudget()
    assert not budget.is_limited(0.0)
    while budget.take(0.0):
        pass
    assert budget.is_limited(0.0)
    assert budget.is_limited(BURST * SECONDS_PER_WRITE - 1)
    assert not budget.is_limited(BURST * SECONDS_PER_WRITE)


async def flapping(operator: Operator, seconds: float) -> None:
    """The count of a queue moves at each reading, five times a second, with nothing to smooth it."""
    (tracked,) = operator.store
    for number in range(round(seconds * 5)):
        await operator.next_pass(tracked, Counts(500 * (number % 2), 0))


def flapping_operator() -> Operator:
    operator = Operator(period=0.2)
    operator.add(body(mode="DryRun", scaling={"scaleDown": {"stabilizationWindowSeconds": 0}}))
    return operator


async def test_a_queue_that_flaps_is_written_about_at_a_bounded_rate() -> None:
    operator = flapping_operator()
    await flapping(operator, 100.0)
    written = len(operator.writes("status")) + len(operator.cluster.events)
    assert written <= BURST + 100.0 / SECONDS_PER_WRITE + 1
    assert operator.condition("WritesLimited")["status"] == "True"
    assert operator.condition("Ready")["status"] == "True"


async def test_the_last_state_is_written_in_the_end_and_that_the_limit_is_over() -> None:
    operator = flapping_operator()
    await flapping(operator, 30.0)
    (tracked,) = operator.store
    await operator.after(BURST * SECONDS_PER_WRITE + 60, tracked, Counts(35, 0))
    assert operator.status()["messagesReady"] == 35
    assert operator.status()["desiredReplicas"] == 7
    assert operator.condition("WritesLimited")["status"] == "False"
    assert not tracked.notices


async def test_a_workqueue_that_never_met_the_limit_does_not_mention_it() -> None:
    operator = Operator()
    tracked = operator.add()
    await operator.after(30, tracked, Counts(20, 0))
    assert "WritesLimited" not in {one["type"] for one in operator.status()["conditions"]}
