"""No result lies while the wheel is free, whatever the order of the threads."""

import threading

from workqueue_worker.wheel import Wheel


class Results(list[int]):
    """What is due, and what was settled."""

    def __init__(self) -> None:
        self.settled: list[int] = []
        self.wheel = Wheel(self, self.settle)

    def settle(self) -> None:
        self.settled += self
        self.clear()


def test_a_result_is_settled_by_its_own_thread_when_the_wheel_is_free() -> None:
    results = Results()
    results.append(1)
    results.wheel.settle_if_free()
    assert results.settled == [1]


def test_a_result_that_comes_while_a_thread_is_at_the_wheel_is_settled_when_that_one_lets_go() -> None:
    results = Results()
    with results.wheel:
        results.append(1)
        other = threading.Thread(target=results.wheel.settle_if_free)
        other.start()
        other.join()  # it does not wait for the wheel
        assert results.settled == []
    assert results.settled == [1]


def test_a_result_that_comes_while_another_one_is_settled_is_settled_by_the_same_thread() -> None:
    class Late(Results):
        def settle(self) -> None:
            super().settle()
            if self.settled == [1]:
                self.append(2)
                self.wheel.settle_if_free()  # as its own thread would: the wheel is not free
                assert self.settled == [1]

    results = Late()
    results.append(1)
    results.wheel.settle_if_free()
    assert results.settled == [1, 2]


def test_a_failure_leaves_the_wheel_free() -> None:
    results = Results()
    try:
        with results.wheel:
            raise RuntimeError
    except RuntimeError:
        results.append(1)
    results.wheel.settle_if_free()
    assert results.settled == [1]
