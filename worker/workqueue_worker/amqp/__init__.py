"""Everything that is pika's, and the only importer of it: connections as small classes, messages as values.

pika's exceptions leave this package as the errors of workqueue_broker. Each thread-safe method is documented as such.
"""

from workqueue_worker.amqp.consumer_link import ConsumePlan, ConsumerLink
from workqueue_worker.amqp.copy_link import CopyLink, CopyRefused
from workqueue_worker.amqp.dead_letter_queue import DeadLetterQueue
from workqueue_worker.amqp.messages import NotSendable
from workqueue_worker.amqp.permissions import Trials

__all__ = [
    "ConsumePlan",
    "ConsumerLink",
    "CopyLink",
    "CopyRefused",
    "DeadLetterQueue",
    "NotSendable",
    "Trials",
]
