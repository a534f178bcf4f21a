"""What the consumer may expect of a link: the same of the real one and of the fake that its own tests use."""

from collections.abc import Callable, Iterator

import pytest
from workqueue_broker.declaration import QueueDeclaration
from workqueue_worker.amqp import ConsumePlan, ConsumerLink
from workqueue_worker.delivery import Delivery
from workqueue_worker.link import Link

from tests.support.fake_link import FakeBroker
from tests.support.task_queue import TaskQueue
from tests.support.waiting import wait_until

PREFETCH = 2


class Consuming:
    """A link on a queue of three tasks, and what it handed over."""

    def __init__(self, open_link: Callable[[int, Callable[[Delivery], None]], Link], ready: Callable[[], int]) -> None:
        self.handed_over: list[Delivery] = []
        self.link = open_link(7, self.handed_over.append)
        self.ready = ready

    def turn_until_handed_over(self, count: int) -> None:
        def turned() -> bool:
            self.link.wait(0.1)
            self.link.turn()
            return len(self.handed_over) >= count

        wait_until(turned, 30, f"{count} deliveries are handed over")


@pytest.fixture(params=["fake", "real"])
def consuming(request: pytest.FixtureRequest, quorum_queue: TaskQueue) -> Iterator[Consuming]:
    if request.param == "fake":
        broker = FakeBroker(tasks=3, prefetch=PREFETCH)
        consuming = Consuming(broker.open, lambda: len(broker.ready))
    else:
        queue = quorum_queue
        queue.send("0", "1", "2")
        work, dead = (QueueDeclaration(name, queue.type) for name in (queue.name, queue.dead.name))
        plan = ConsumePlan(queue.server.address(queue.vhost), "test", work, dead, create=True, prefetch_count=PREFETCH)
        consuming = Consuming(lambda *given: ConsumerLink(plan, *given), lambda: queue.counts()[0])
    yield consuming
    consuming.link.close()


def test_deliveries_come_with_a_turn_in_order_with_the_links_epoch_and_no_more_than_are_asked_for(
    consuming: Consuming,
) -> None:
    assert consuming.handed_over == []
    consuming.turn_until_handed_over(PREFETCH)
    consuming.link.wake()
    consuming.link.wait(0)
    consuming.link.turn()
    assert [(each.body, each.epoch, each.delivery_tag) for each in consuming.handed_over] == [
        (b"0", 7, 1),
        (b"1", 7, 2),
    ]


def test_what_is_settled_goes_out_together_and_makes_room(consuming: Consuming) -> None:
    consuming.turn_until_handed_over(2)
    for each in consuming.handed_over:
        consuming.link.ack(each)
    consuming.link.flush()
    consuming.turn_until_handed_over(3)
    assert consuming.handed_over[2].body == b"2"
    consuming.link.ack(consuming.handed_over[2])
    consuming.link.flush()
    assert wait_until(lambda: consuming.ready() == 0, 30, "nothing is left")


def test_what_is_handed_back_or_returned_is_ready_again_once_no_worker_takes_more(consuming: Consuming) -> None:
    consuming.turn_until_handed_over(2)
    consuming.link.cancel()
    assert not consuming.link.consuming
    consuming.link.hand_back(consuming.handed_over[0])
    consuming.link.return_failed(consuming.handed_over[1])
    consuming.link.flush()
    wait_until(lambda: consuming.ready() == 3, 30, "all three are ready")
    consuming.link.turn()
    assert len(consuming.handed_over) == 2


def test_what_is_not_settled_when_the_link_is_closed_is_ready_again(consuming: Consuming) -> None:
    consuming.turn_until_handed_over(2)
    consuming.link.close()
    wait_until(lambda: consuming.ready() == 3, 30, "all three are ready")
