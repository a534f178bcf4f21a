"""The task for Dramatiq, which acks after the work; run as a program, it sends the tasks."""

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from task import QUEUE, QUEUE_TYPE, TASKS, URI, work


class Broker(RabbitmqBroker):
    """Dramatiq has no setting for the queue's type."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, object]:
        return super()._build_queue_arguments(queue_name) | {"x-queue-type": QUEUE_TYPE}


dramatiq.set_broker(Broker(url=URI))


@dramatiq.actor(queue_name=QUEUE, actor_name="task")
def task() -> None:
    """See task.work."""
    work()


if __name__ == "__main__":
    for _ in range(TASKS):
        task.send()
