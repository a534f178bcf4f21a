"""What a worker has received and not settled: deliveries that wait for a thread, are worked on, or have a result.

The state changes here and nowhere else. A method returns what the consumer is to send, count or log, and touches no
connection, lock or metric. Each change is one step of a deque or a dictionary, which no other thread can see half done,
so any thread may take, finish and ask. The others are called with the wheel (see consumer.py).

Every delivery ends exactly once: settled, handed back, or requeued by the broker with the connection that it came over.
"""

from collections import deque
from contextlib import suppress
from typing import NamedTuple

from workqueue_worker.delivery import Delivery
from workqueue_worker.in_hand import InHand
from workqueue_worker.result import Result


class Lost(NamedTuple):
    """What the loss of a connection means for the deliveries that came over it."""

    #: Results that were sent, but so late that the broker need not have read them.
    in_doubt: list[Result]
    #: How many deliveries waited for a thread: the broker requeues them, and no thread has begun with them.
    requeued: int


class Deliveries:
    """The deliveries of one worker."""

    def __init__(self, threads: int) -> None:
        """`threads`: how many take deliveries; the prefetch."""
        self._threads = threads
        #: Of the connection that deliveries can be settled over; None without one.
        self._epoch: int | None = None
        #: What waits for a thread, and the results to be sent. Others only look whether there are any.
        self.waiting: deque[InHand] = deque()
        self.results: deque[Result] = deque()
        #: Sent last. The broker has never more of them to read than the prefetch.
        self._in_doubt: deque[Result] = deque(maxlen=threads)
        self._in_progress: dict[tuple[int, int], InHand] = {}

    def __len__(self) -> int:
        """How many were received and have not ended."""
        return len(self._in_progress)

    def in_progress(self) -> list[InHand]:
        """Everything received that has not ended."""
        return list(self._in_progress.values())

    @property
    def leave_a_thread_free(self) -> bool:
        """True while fewer are in progress than there are threads."""
        return len(self._in_progress) < self._threads

    def is_stale(self, delivery: Delivery) -> bool:
        """True when its connection is gone: the broker gives it to a consumer again."""
        return delivery.epoch != self._epoch

    # For any thread.

    def take(self) -> tuple[InHand | None, int]:
        """The delivery that has waited longest, or None.

        The number counts the stale ones on the way to it, which the broker requeues.
        """
        requeued = 0
        while True:
            try:
                in_hand = self.waiting.popleft()
            except IndexError:  # none waits, or it was lost with its connection just now
                return None, requeued
            if in_hand.delivery.epoch == self._epoch:
                return in_hand, requeued
            requeued += self.end(in_hand)

    def finish(self, result: Result) -> None:
        """Add the result of a delivery, which is due from now on."""
        self.results.append(result)

    # With the wheel.

    def connected(self, epoch: int) -> None:
        """A connection was opened; deliveries with this number can be settled over it."""
        self._epoch = epoch

    def received(self, delivery: Delivery) -> None:
        """A delivery came over the connection."""
        in_hand = InHand(delivery)
        self._in_progress[in_hand.key] = in_hand
        self.waiting.append(in_hand)

    def due(self) -> list[Result]:
        """Remove and return the results that are to be sent, without those of deliveries that have ended."""
        finished = [self.results.popleft() for _ in range(len(self.results))]
        return [result for result in finished if result.in_hand.key in self._in_progress]

    def settled(self, result: Result, *, sent: bool) -> None:
        """A result that was due is counted. `sent`: it went out over the connection of its delivery."""
        self._in_progress.pop(result.in_hand.key, None)
        if sent:
            self._in_doubt.append(result)

    def excess(self) -> list[InHand]:
        """Remove and return what waits for a thread that is busy with a task of a lost connection."""
        excess: list[InHand] = []
        with suppress(IndexError):  # a thread took it just now
            while len(self._in_progress) - len(excess) > self._threads:
                excess.append(self.waiting.pop())
        return excess

    def close(self) -> list[InHand]:
        """Let no thread take what waits; returns all that has not ended."""
        self.waiting.clear()
        return self.in_progress()

    def end(self, in_hand: InHand) -> bool:
        """A delivery is handed back or requeued; True for the first caller, who counts it."""
        return self._in_progress.pop(in_hand.key, None) is not None

    def lost(self) -> Lost:
        """The connection is gone: whatever came over it is stale, and what waits ends."""
        self._epoch = None
        in_doubt = list(self._in_doubt)
        self._in_doubt.clear()
        requeued = 0
        while self.waiting:
            with suppress(IndexError):  # a thread took it just now, and sees that it is stale
                requeued += self.end(self.waiting.popleft())
        return Lost(in_doubt, requeued)
