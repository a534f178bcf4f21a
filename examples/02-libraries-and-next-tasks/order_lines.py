"""A task that needs a library and makes more tasks: an order in YAML becomes one task for each of its lines."""

import os
from functools import cache

import yaml
from prometheus_client import Counter
from workqueue_broker.address import BrokerAddress
from workqueue_broker.declaration import QueueDeclaration
from workqueue_producer import Publisher
from workqueue_producer import Task as NextTask
from workqueue_worker.task import Reject, Task

NEXT_QUEUE = os.environ.get("NEXT_QUEUE", "order_lines")
LINES = Counter("order_lines_published", "Lines of orders that became a task.")


@cache
def publisher() -> Publisher:
    """One for the process, made by its first task: the worker's own broker, another queue."""
    return Publisher(BrokerAddress.from_environment(os.environ), QueueDeclaration(NEXT_QUEUE))


def handle(body: bytes, task: Task) -> None:
    """The ids of the next tasks are made of this one's, so they can be recognized when it runs twice."""
    try:
        lines = [yaml.safe_dump(line).encode() for line in yaml.safe_load(body)["lines"]]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise Reject(f"no order: {error}") from error
    next_tasks = [NextTask(line, message_id=f"{task.id}-{number}") for number, line in enumerate(lines, start=1)]
    publisher().publish_many(next_tasks)  # returns when all are confirmed, so this task is acked after them
    LINES.inc(len(next_tasks))
