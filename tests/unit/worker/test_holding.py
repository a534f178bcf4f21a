"""A task whose dead letter is refused: what is tried, what is reported, and when the worker gives it back."""

import pytest
from workqueue_broker.errors import AccessRefused, BrokerError, MessageRefused, QueueMissing
from workqueue_worker.amqp import CopyRefused
from workqueue_worker.copy_publisher import CopyPublisher
from workqueue_worker.delivery import Delivery
from workqueue_worker.health import Health
from workqueue_worker.holding import Holding, MustHandBack
from workqueue_worker.in_hand import InHand
from workqueue_worker.settlement import FRESH_COPY_AT
from workqueue_worker.task_copy import Carried, Copy

DEAD_LETTER = Copy("q.dead", {}, Carried.WHAT_FITS)
WAITING = Copy("q", {}, Carried.WHAT_FITS)


class Link:
    """A publishing connection; `refusals` by queue, one for each attempt, the last for all further ones."""

    def __init__(self, **refusals: list[BrokerError | None]) -> None:
        self.refusals = refusals
        self.tried: list[str] = []

    def ensure(self, _queue: object) -> None: ...

    def publish(self, copy: Copy, _delivery: Delivery) -> None:
        self.tried.append(copy.queue)
        refusals = self.refusals[copy.queue.replace(".", "_")]
        refusal = refusals.pop(0) if len(refusals) > 1 else refusals[0]
        if refusal:
            raise refusal

    def close(self) -> None: ...


class Deliveries:
    """One delivery in hand; notes what the worker reports while it waits, and stops after `waits` waits."""

    def __init__(self, health: Health, waits: int = 1000) -> None:
        self.reported: list[str] = []
        self._health = health
        self._waits = waits

    @property
    def stopping(self) -> bool:
        return len(self.reported) >= self._waits

    def is_stale(self, _delivery: Delivery) -> bool:
        return False

    def hold(self, _delivery: Delivery, _seconds: float, *, also_when_stopping: bool = False) -> None:
        self.reported.append(f"{self._health.holding}; waits at the end: {also_when_stopping}")


def insist(link: Link, deliveries: Deliveries, health: Health, returned: int = 0) -> Copy:
    headers = {"x-delivery-count": returned}
    delivery = Delivery(1, 1, returned > 0, b"", headers, "m", None, None, None)
    return Holding(deliveries, CopyPublisher(lambda: link, None), health).insist(
        InHand(delivery), [DEAD_LETTER, WAITING]
    )


@pytest.mark.parametrize("refusal", [QueueMissing("no"), CopyRefused("full"), AccessRefused("no permission")])
def test_a_dead_letter_that_its_queue_refuses_waits_in_the_tasks_own(refusal: BrokerError) -> None:
    health = Health()
    link = Link(q_dead=[refusal], q=[None])
    assert insist(link, Deliveries(health), health) is WAITING
    assert link.tried == ["q.dead", "q"]


def test_where_neither_queue_takes_it_both_are_tried_until_one_does_and_both_are_named() -> None:
    health = Health()
    deliveries = Deliveries(health)
    full = CopyRefused("queue 'q' is full")
    assert insist(Link(q_dead=[QueueMissing("no q.dead")], q=[full, full, None]), deliveries, health) is WAITING
    for text in deliveries.reported:
        assert "task m" in text
        assert "no q.dead; nor can it wait in queue 'q': queue 'q' is full" in text
    link = Link(q_dead=[QueueMissing("no q.dead"), None], q=[full])
    assert insist(link, Deliveries(health), health) is DEAD_LETTER
    assert health.holding is None


def test_a_body_that_the_broker_refuses_is_not_sent_to_another_queue_as_well() -> None:
    health = Health()
    link = Link(q_dead=[MessageRefused("too large")], q=[None])
    with pytest.raises(MustHandBack):
        insist(link, Deliveries(health, waits=1), health)
    assert set(link.tried) == {"q.dead"}


def test_a_task_that_was_returned_often_is_reported_with_the_count_and_the_limit() -> None:
    health = Health()
    for returned, said in ((FRESH_COPY_AT, True), (FRESH_COPY_AT - 1, False)):
        deliveries = Deliveries(health, waits=1)
        with pytest.raises(MustHandBack):
            insist(Link(q_dead=[MessageRefused("too large")], q=[None]), deliveries, health, returned)
        assert (
            f"returned {returned} times, and RabbitMQ 4 deletes a task at return 21" in deliveries.reported[0]
        ) is said
