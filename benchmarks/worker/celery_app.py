"""The task for Celery; run as a program, it sends the tasks."""

from celery import Celery
from task import QUEUE, QUEUE_TYPE, TASKS, URI, work

app = Celery("benchmark", broker=URI)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue=QUEUE,
    task_default_queue_type=QUEUE_TYPE,
    broker_native_delayed_delivery_queue_type="classic",  # 28 queues for delays, which are not used here: quickly made
    broker_connection_retry_on_startup=True,
)


@app.task(name="task")
def task() -> None:
    """See task.work."""
    work()


if __name__ == "__main__":
    for _ in range(TASKS):
        task.delay()
