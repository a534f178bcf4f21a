"""Sends tasks: the `new-task` command and the `Publisher` for applications."""

from workqueue_producer.errors import NotConfirmed, ProducerError, PublisherClosed
from workqueue_producer.metrics import PublisherMetrics
from workqueue_producer.publisher import Publisher, PublisherSettings
from workqueue_producer.task import Task

__all__ = [
    "NotConfirmed",
    "ProducerError",
    "Publisher",
    "PublisherClosed",
    "PublisherMetrics",
    "PublisherSettings",
    "Task",
]
