"""One delivery on its way through the runner."""

from dataclasses import replace

import pytest
from workqueue_worker.connection_report import ConnectionReport
from workqueue_worker.consumer import Consumer
from workqueue_worker.copy_publisher import CopyPublisher
from workqueue_worker.delivery import Delivery
from workqueue_worker.finished_tasks import FinishedTasks
from workqueue_worker.handlers import PythonHandler
from workqueue_worker.health import Health
from workqueue_worker.holding import Holding
from workqueue_worker.in_hand import InHand
from workqueue_worker.metrics import WorkerMetrics
from workqueue_worker.reconnecting import Reconnecting
from workqueue_worker.runner import Runner
from workqueue_worker.settings import Settings, read_settings
from workqueue_worker.task import Task

from tests.support.fakes import ManualClock


def settings(*, handler: str | None = None, command: tuple[str, ...] = ()) -> Settings:
    return read_settings({"handler": handler}, list(command), {})


class Confirming:
    """A publishing connection that confirms everything."""

    def ensure(self, _queue: object) -> None: ...

    def publish(self, _copy: object, _delivery: Delivery) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("fails", [False, True])
def test_a_worker_is_busy_from_the_start_of_a_handler_to_its_end_and_not_before_a_retry(fails: bool) -> None:
    clock = ManualClock()
    metrics, health = WorkerMetrics("q", monotonic=clock.monotonic), Health()
    seen: list[float | None] = []

    def busy() -> float | None:
        return metrics.registry.get_sample_value("workqueue_worker_busy_seconds_total", {"queue": "q"})

    def handle(_body: bytes, _task: Task) -> None:
        clock.advance(30)
        seen.append(busy())
        clock.advance(5)
        if fails:
            raise ValueError

    finished = FinishedTasks()
    consumer = Consumer(metrics, health, finished, ConnectionReport(metrics, health, Reconnecting()), 1)
    settings = replace(read_settings({}, (), {}), retry_max_delay=0.01)
    holding = Holding(consumer, CopyPublisher(Confirming, None), health)
    runner = Runner(settings, "w", PythonHandler(handle), holding, metrics, finished)
    runner.run(InHand(Delivery(1, 1, False, b"", {}, "m", None, None, None)))
    clock.advance(1000)
    assert (seen, busy()) == ([30], 35)
