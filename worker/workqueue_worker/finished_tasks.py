"""The tasks that this worker finished and whose ack was lost, or may be, so that they are not run when they come again.

A help, no guarantee: it lives in memory, is bounded, and knows this worker only. And never a loss: one that is
remembered stands for one run, and answers once, for a message that is the same in everything that a handler sees and
in its time of publishing. One without an id or a time is not remembered: its producer may send the very same again and
mean a second task.
"""

import hashlib
import threading
from collections import OrderedDict

from workqueue_broker import headers as header

from workqueue_worker.delivery import Delivery
from workqueue_worker.settlement import FAILED_COUNT, TAKEN_COUNT

#: How many different ones are remembered.
CAPACITY = 1000
#: What brokers and workers write on a task on its way.
_ADDED = {*header.OF_THE_WORKER, FAILED_COUNT, TAKEN_COUNT}


class FinishedTasks:
    """The last ones, oldest forgotten first. Safe from several threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._runs: OrderedDict[bytes, int] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, delivery: Delivery) -> None:
        """Remember a run whose ack may be lost, when the message has an id and a time."""
        if delivery.message_id is None or delivery.enqueued_time is None:
            return
        identity = _identity(delivery)
        with self._lock:
            self._runs[identity] = self._runs.pop(identity, 0) + 1
            if len(self._runs) > self._capacity:
                self._runs.popitem(last=False)

    def take(self, delivery: Delivery) -> bool:
        """True when there is a run that answers for this message; it answers for no other."""
        if not self._runs:
            return False
        identity = _identity(delivery)
        with self._lock:
            runs = self._runs.pop(identity, 0)
            if runs > 1:
                self._runs[identity] = runs - 1
            return runs > 0


def _identity(delivery: Delivery) -> bytes:
    headers = sorted((name, repr(value)) for name, value in delivery.headers.items() if name not in _ADDED)
    described = delivery.described._replace(user_id=None, expiration=None)  # copies lose them
    known = (delivery.message_id, delivery.enqueued_time, delivery.content_type, described, headers)
    return hashlib.sha256(repr(known).encode() + b"\0" + delivery.body).digest()
