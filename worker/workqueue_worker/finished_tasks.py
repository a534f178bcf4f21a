"""The tasks that this worker finished lately, so that one whose ack was lost is not run again. A help, no guarantee:

it lives in memory, is bounded, and knows this worker only.
"""

import threading
from collections import OrderedDict

from workqueue_worker.delivery import Delivery

#: How many are remembered; each is an id and a number.
CAPACITY = 1000


class FinishedTasks:
    """The last tasks finished, oldest forgotten first. Safe from several threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._fingerprints: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, delivery: Delivery) -> None:
        """Remember it, when it has a message id."""
        fingerprint = delivery.fingerprint
        if fingerprint is None:
            return
        with self._lock:
            self._fingerprints[fingerprint] = None
            self._fingerprints.move_to_end(fingerprint)
            if len(self._fingerprints) > self._capacity:
                self._fingerprints.popitem(last=False)

    def __contains__(self, delivery: Delivery) -> bool:
        return delivery.fingerprint in self._fingerprints
