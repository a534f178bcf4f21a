"""The rules of leaving: nothing is stopped in time, everything ends."""

from hypothesis import given
from hypothesis import strategies as st
from workqueue_worker.shutdown import EXIT_DRAINED, EXIT_FORCED, STOP_SECONDS, Shutdown, Step

GRACE = 60.0


def step(shutdown: Shutdown, now: float, tasks: int, *, receiving: bool = False) -> Step:
    return shutdown.step(now, tasks_in_progress=tasks, receiving=receiving)


def test_a_worker_that_got_no_signal_serves_forever() -> None:
    assert step(Shutdown(), 1e12, 0) is Step.SERVE
    assert not Shutdown().asked


def test_at_sigterm_it_finishes_its_tasks_and_then_leaves() -> None:
    shutdown = Shutdown().signalled(0.0, GRACE)
    assert step(shutdown, 59.0, 1) is Step.FINISH_TASKS
    assert step(shutdown, 59.0, 0) is Step.LEAVE
    assert shutdown.exit_code == EXIT_DRAINED


def test_it_does_not_leave_while_the_broker_may_still_send_a_task() -> None:
    assert step(Shutdown().signalled(0.0, GRACE), 1.0, 0, receiving=True) is Step.FINISH_TASKS


def test_at_the_grace_deadline_tasks_are_stopped_and_then_handed_back() -> None:
    shutdown = Shutdown().signalled(0.0, GRACE)
    assert step(shutdown, GRACE, 1) is Step.STOP_TASKS
    assert step(shutdown, GRACE + STOP_SECONDS, 1) is Step.HAND_BACK


def test_a_second_signal_ends_the_grace_period() -> None:
    shutdown = Shutdown().signalled(0.0, GRACE).signalled(1.0, GRACE)
    assert step(shutdown, 1.0, 1) is Step.STOP_TASKS


def test_a_third_signal_gives_no_time_back() -> None:
    shutdown = Shutdown().signalled(0.0, GRACE).signalled(1.0, GRACE).signalled(2.0, GRACE)
    assert shutdown.deadline == 1.0


def test_a_task_that_cannot_be_stopped_makes_it_leave_and_say_so() -> None:
    shutdown = Shutdown().failed(5.0, GRACE)
    assert step(shutdown, 6.0, 1) is Step.FINISH_TASKS
    assert shutdown.exit_code == EXIT_FORCED


def test_the_first_signal_after_that_shortens_nothing() -> None:
    assert Shutdown().failed(5.0, GRACE).signalled(6.0, GRACE).deadline == 65.0


def test_a_worker_that_is_worn_out_leaves_as_after_a_signal_with_time_for_the_others() -> None:
    shutdown = Shutdown().wore_out(0.0, 1000.0)
    assert step(shutdown, 999.0, 1) is Step.FINISH_TASKS
    assert step(shutdown, 1000.0, 1) is Step.STOP_TASKS
    assert step(shutdown, 1.0, 0, receiving=True) is Step.FINISH_TASKS
    assert step(shutdown, 1.0, 0) is Step.LEAVE
    assert shutdown.exit_code == EXIT_DRAINED


def test_a_worn_out_worker_that_gets_sigterm_has_its_grace_period_from_then_on() -> None:
    worn_out, signalled = Shutdown().wore_out(5.0, 1000.0), Shutdown().signalled(5.0, GRACE)
    for shutdown in (worn_out.signalled(5.0, GRACE), signalled.wore_out(5.0, 1000.0)):
        assert step(shutdown, 5.0 + GRACE - 1.0, 1) is Step.FINISH_TASKS
        assert step(shutdown, 5.0 + GRACE, 1) is Step.STOP_TASKS


@given(st.lists(st.tuples(st.floats(0, 1000), st.booleans()), min_size=1), st.integers(1, 5))
def test_whatever_happens_it_is_out_within_grace_and_stop_of_the_first_word(
    words: list[tuple[float, bool]], tasks: int
) -> None:
    words.sort()
    shutdown = Shutdown()
    for now, is_signal in words:
        shutdown = shutdown.signalled(now, GRACE) if is_signal else shutdown.failed(now, GRACE)
    assert step(shutdown, words[0][0] + GRACE + STOP_SECONDS, tasks, receiving=True) is Step.HAND_BACK
