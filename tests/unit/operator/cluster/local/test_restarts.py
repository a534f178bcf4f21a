"""A container that ends is started again as a kubelet does it."""

from workqueue_operator.cluster.local.restarts import Restarts


def delays(*runs: tuple[int, float]) -> list[float]:
    """The waits after containers that ended with these exit codes after so many seconds."""
    restarts, found = Restarts(), []
    for exit_code, ran in runs:
        restarts = restarts.ended(exit_code, ran)
        found.append(restarts.delay_seconds)
    return found


def test_the_first_restart_is_at_once_and_each_further_one_waits_twice_as_long_up_to_five_minutes() -> None:
    assert delays(*[(1, 0.5)] * 9) == [0, 10, 20, 40, 80, 160, 300, 300, 300]


def test_ten_minutes_of_running_forget_the_ends_before() -> None:
    assert delays((1, 0.5), (1, 0.5), (1, 0.5), (1, 600.0), (1, 0.5)) == [0, 10, 20, 0, 10]


def test_an_end_in_order_is_no_failure_but_waits_too() -> None:
    restarts = Restarts().ended(1, 1.0).ended(0, 1.0)
    assert (restarts.count, restarts.failures, restarts.delay_seconds) == (2, 0, 10)
