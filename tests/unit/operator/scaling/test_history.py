"""The stabilization window: the highest wish in it, and whether all of it was watched."""

from hypothesis import given
from hypothesis import strategies as st
from workqueue_operator.scaling.demand import Counts
from workqueue_operator.scaling.history import PAUSE_SECONDS, History

WINDOW = 60.0


def passes(*wishes: tuple[float, int], start: History | None = None) -> History:
    """The history after passes at these seconds, each of which wanted so many workers."""
    history = start or History()
    for now, replicas in wishes:
        history = history.remember(now, replicas, WINDOW, known=True, poll_seconds=1.0)
    return history


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100)), max_size=30))
def test_the_highest_wish_is_the_maximum_of_the_window_whatever_is_left_out(steps: list[tuple[int, int]]) -> None:
    """The history keeps only wishes that can still become the highest; the maximum over all of them is the model."""
    made, now, history = [], 0.0, History()
    for seconds, replicas in steps:
        now += seconds
        made.append((now, replicas))
        history = history.remember(now, replicas, 20.0, known=True, poll_seconds=1.0)
        expected = max(wanted for time, wanted in made if now - time < 20.0)
        assert history.highest_wish(now, 20.0) == expected


def test_a_window_is_watched_whole_only_after_its_seconds() -> None:
    history = passes(*((float(second), 1) for second in range(60)))
    assert not history.has_seen_whole_window(59.0, WINDOW, poll_seconds=1.0)
    assert history.has_seen_whole_window(60.0, WINDOW, poll_seconds=1.0)


def test_a_pause_longer_than_a_few_polls_starts_the_window_over() -> None:
    watched = passes(*((float(second), 1) for second in range(61)))
    assert watched.has_seen_whole_window(60.0 + PAUSE_SECONDS, WINDOW, poll_seconds=1.0)
    assert not watched.has_seen_whole_window(61.0 + PAUSE_SECONDS, WINDOW, poll_seconds=1.0)
    assert watched.has_seen_whole_window(61.0 + PAUSE_SECONDS, WINDOW, poll_seconds=30.0)


def test_a_window_that_is_raised_was_not_watched() -> None:
    watched = passes(*((float(second), 1) for second in range(120)))
    assert watched.has_seen_whole_window(119.0, WINDOW, poll_seconds=1.0)
    assert not watched.has_seen_whole_window(119.0, WINDOW + 1, poll_seconds=1.0)


def test_a_clock_that_goes_back_keeps_no_wish_for_longer() -> None:
    history = passes((1000.0, 9), (10.0, 0))
    assert history.highest_wish(10.0, WINDOW) == 9
    assert history.highest_wish(10.0 + WINDOW, WINDOW) == 0


def test_how_long_the_queue_is_unknown_counts_from_the_first_pass_without_a_reading() -> None:
    known = passes((0.0, 1))
    assert known.unknown_for(5.0) == 0.0
    lost = known.remember(5.0, 1, WINDOW, known=False, poll_seconds=1.0)
    assert lost.remember(8.0, 1, WINDOW, known=False, poll_seconds=1.0).unknown_for(9.0) == 4.0
    assert passes((9.0, 1), start=lost).unknown_for(9.0) == 0.0


def test_messages_alone_show_no_worker_at_the_queue() -> None:
    assert not History().saw(Counts(5, 0)).in_use
    assert History().saw(Counts(5, 0), ready=1).in_use
    assert History().saw(Counts(0, 1)).saw(Counts(5, 0)).in_use
    assert not History().saw(Counts(0, 1)).saw(Counts(0, 0)).in_use
