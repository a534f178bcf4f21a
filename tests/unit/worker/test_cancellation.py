"""A cancellation calls back once."""

from workqueue_worker.cancellation import Cancellation


def test_a_cancellation_calls_back_once_before_or_after_it_was_set() -> None:
    calls: list[str] = []
    early, late = Cancellation(), Cancellation()
    early.call(lambda: calls.append("early"))
    early.set()
    early.set()
    late.set()
    late.call(lambda: calls.append("late"))
    assert calls == ["early", "late"]
