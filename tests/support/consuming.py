"""A consumer with its keeper, on a fake broker."""

import threading
from collections.abc import Callable

from workqueue_worker.connection_report import ConnectionReport
from workqueue_worker.consumer import Consumer
from workqueue_worker.delivery import Delivery
from workqueue_worker.finished_tasks import FinishedTasks
from workqueue_worker.health import Health
from workqueue_worker.in_hand import InHand
from workqueue_worker.keeper import Keeper
from workqueue_worker.link import Link
from workqueue_worker.metrics import WorkerMetrics
from workqueue_worker.reconnecting import Reconnecting
from workqueue_worker.result import Action, Result
from workqueue_worker.settlement import Done

from tests.support.fake_link import FakeBroker


class Bench:
    """The keeper runs in its thread; the test is the tasks' threads."""

    def __init__(
        self, broker: FakeBroker, threads: int = 1000, when_opened: Callable[["Bench"], None] = lambda _bench: None
    ) -> None:
        """`when_opened` is called after a link was opened and before the keeper has it; may raise."""
        self.broker = broker
        self._when_opened = when_opened
        self.metrics = WorkerMetrics("q")
        self.health = Health()
        self.finished = FinishedTasks()
        report = ConnectionReport(self.metrics, self.health, Reconnecting(lambda _low, _high: 0.0))
        self.consumer = Consumer(self.metrics, self.health, self.finished, report, threads)
        self.keeper = Keeper(self.consumer, self.open_link, report, self.health)
        self._keeping = threading.Thread(target=self.keeper.run, daemon=True)
        self._keeping.start()

    def open_link(self, epoch: int, on_delivery: Callable[[Delivery], None]) -> Link:
        link = self.broker.open(epoch, on_delivery)
        self._when_opened(self)
        return link

    def done(self, in_hand: InHand) -> Result:
        return Result(in_hand, Action.ACK, Done.DONE, "done")

    def task(self) -> InHand:
        in_hand = self.consumer.next_task()
        assert in_hand is not None
        return in_hand

    def leave(self) -> None:
        self.keeper.leave()
        self._keeping.join()

    def count(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(f"workqueue_tasks_{name}", {"queue": "q", **labels})
        assert value is not None
        return value

    def assert_that_all_is_accounted_for(self) -> None:
        assert self.broker.breaches == []
        assert self.consumer.in_progress() == []
        assert self.count("in_progress") == 0
        requeued = sum(self.count("requeued_total", cause=cause) for cause in self.metrics.requeued)
        assert self.count("received_total") == self.count("acked_total") + self.count("acks_lost_total") + requeued
        assert self.count("received_total") == sum(self.broker.given.values())
        assert self.count("acked_total") == sum(self.broker.acked.values())
