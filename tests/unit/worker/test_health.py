"""Readiness while failed tasks are held."""

from workqueue_worker.health import HELD_SECONDS, Health, Readiness

from tests.support.fakes import ManualClock


def test_a_worker_that_holds_a_task_for_a_lasting_reason_is_not_ready_until_it_is_released() -> None:
    health = Health(4)
    health.readiness = Readiness(ready=True, text="consuming")
    health.hold(1, "task a: a full queue")
    assert (health.readiness.ready, health.takes_no_more) == (True, False)
    health.hold(2, "task b: no permission", lasting=True)
    health.hold(3, "task c: a full queue")
    assert (health.readiness.ready, health.takes_no_more) == (False, True)
    assert health.holding == "holding 3 failed tasks: task b: no permission"
    health.release(2)
    assert (health.readiness.ready, health.takes_no_more) == (True, False)


def test_a_worker_is_ready_while_a_slot_is_free_and_not_while_every_slot_holds_a_failed_task() -> None:
    clock = ManualClock()
    health = Health(2, clock.monotonic)
    health.readiness = Readiness(ready=True, text="consuming")
    health.hold(1, "task a: a full queue")
    clock.advance(HELD_SECONDS)
    assert (health.readiness.ready, health.held) == (True, 1)
    health.hold(2, "task b: not confirmed yet")
    assert (health.readiness.ready, health.held) == (True, 1), "most copies are confirmed at once"
    clock.advance(HELD_SECONDS)
    health.hold(2, "task b: a full queue")  # another attempt
    assert health.readiness == Readiness(ready=False, text="can take no new task: every slot holds a failed one")
    assert (health.takes_no_more, health.held) == (False, 2)
    health.release(1)
    assert (health.readiness.ready, health.held) == (True, 1)
