"""Reads many queues of one broker over one AMQP connection; what is pika's lies under it, in workqueue_broker.

A queue that cannot be read is an error in the answer, never a zero. One that is missing, refused or locked costs its
channel, not the connection, and no other queue its reading. The connection lives in a thread of its own, as pika's
blocking calls must not stop the event loop.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from workqueue_broker.address import BrokerAddress
from workqueue_broker.connection import ConnectionSettings, broker_errors, connect
from workqueue_broker.declaration import QueueCounts, QueueDeclaration, read_counts
from workqueue_broker.errors import BrokerError, BrokerUnavailable, QueueMismatch, QueueMissing

from workqueue_operator.resource import Declare, QueueSpec

#: Seconds for one round of reading, and for each queue of it. A slower broker counts as one that does not answer.
ROUND_SECONDS = 5.0
QUEUE_SECONDS = 0.01
#: Seconds; shorter than a worker's, since a dead peer here means a stale reading.
HEARTBEAT_SECONDS = 10
#: Seconds of a round for dead-letter queues: making a thousand quorum queues takes a minute, and readings do not wait.
DECLARE_SECONDS = 0.1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class QueueReading:
    """A queue's live counts, and whether it had to be made first."""

    counts: QueueCounts
    created: bool = False
    #: Why its dead-letter queue could not be made the last time that was tried; None: it was, or is not ours to make.
    dead_letter_trouble: BrokerError | None = None


Answer = QueueReading | BrokerError


class QueueReader(Protocol):
    """Reads the queues of one broker."""

    async def read(self, queues: Sequence[QueueSpec]) -> Sequence[Answer]:
        """A reading or an error for each queue, in their order; never raises a BrokerError."""

    def declare_dead_letter_queue(self, queue: QueueSpec) -> None:
        """Make the queue's dead-letter queue at the end of a later round; what goes wrong is in the readings then."""

    async def close(self) -> None:
        """Give the connection back."""


class AmqpQueueReader:
    """A QueueReader over one connection, made at the first reading and after each loss."""

    def __init__(self, address: BrokerAddress, name: str) -> None:
        self._rounds = _Rounds(address, name)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="queue-reader")
        self._under_way: asyncio.Future[Sequence[Answer]] | None = None

    async def read(self, queues: Sequence[QueueSpec]) -> Sequence[Answer]:
        """One passive declare a queue; a round that takes too long answers BrokerUnavailable for each."""
        seconds = ROUND_SECONDS + QUEUE_SECONDS * len(queues)
        if self._under_way is None or self._under_way.done():
            loop = asyncio.get_running_loop()
            self._under_way = loop.run_in_executor(self._thread, self._rounds.read, tuple(queues))
            answer = self._under_way
        else:  # the round before this one still waits for the broker; its answer would be an old one
            await asyncio.wait((self._under_way,), timeout=seconds)
            return _same_for_all(
                queues, BrokerUnavailable(f"the broker has not answered for more than {seconds:.0f} s")
            )
        try:
            # Not wait_for(): until Python 3.12 it may lose a cancel, and the loop goes on for ever.
            async with asyncio.timeout(seconds):
                return await asyncio.shield(answer)
        except TimeoutError:
            return _same_for_all(queues, BrokerUnavailable(f"the broker did not answer within {seconds:.0f} s"))

    def declare_dead_letter_queue(self, queue: QueueSpec) -> None:
        """Make the queue's dead-letter queue at the end of the next rounds."""
        self._rounds.to_declare.add(queue)

    async def close(self) -> None:
        """Close the connection once the thread is free; does not wait for a broker that hangs."""
        self._thread.submit(self._rounds.close)
        self._thread.shutdown(wait=False)


class _Rounds:
    """The blocking half; only the reader's thread calls it."""

    def __init__(self, address: BrokerAddress, name: str) -> None:
        self._address = address
        self._settings = ConnectionSettings(name, heartbeat=HEARTBEAT_SECONDS, blocked_timeout=None)
        self._connection: Any = None
        self._channel: Any = None
        #: Queues whose declaration was seen to be ours on this connection.
        self._confirmed: set[QueueSpec] = set()
        #: Queues whose dead-letter queue is to be made. The event loop's thread adds to it; ours only pops.
        self.to_declare: set[QueueSpec] = set()
        self._dead_letter_trouble: dict[QueueSpec, BrokerError] = {}

    def read(self, queues: Sequence[QueueSpec]) -> Sequence[Answer]:
        answers: list[Answer] = []
        try:
            for queue in queues:
                answers.append(self._read_one(queue))  # noqa: PERF401 - what was read before an error must be kept
            self._declare_dead_letter_queues()
        except BrokerError as error:
            self._lose(queues, answers, error)
        except Exception as error:  # noqa: BLE001 - what a stranger's server says may fail the library in any way
            text = f"{self._address}: the connection failed: {type(error).__name__}: {error}"
            log.warning("%s", text)
            self._lose(queues, answers, BrokerUnavailable(text))
        return answers

    def _lose(self, queues: Sequence[QueueSpec], answers: list[Answer], error: BrokerError) -> None:
        """Give up the connection; what was not read yet is not known."""
        self.close()
        answers.extend(_same_for_all(queues[len(answers) :], error))

    def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        self._confirmed.clear()
        self._dead_letter_trouble.clear()
        if connection is not None and connection.is_open:
            try:
                with broker_errors(self._address):
                    connection.close()
            except BrokerError:  # it is gone either way
                return

    def _read_one(self, queue: QueueSpec) -> Answer:
        """Passive declare; the queue is declared where it is ours to make, or to check for its type."""
        name = queue.declaration.name
        try:
            counts = self._passive(name)
        except QueueMissing as missing:
            self._confirmed.discard(queue)
            return missing if queue.declare is Declare.NEVER else self._declare(queue, created=True)
        except BrokerError as error:
            return self._of_this_queue(error)
        if queue.declare is Declare.CREATE and queue not in self._confirmed:
            return self._declare(queue, created=False)
        return self._reading(queue, counts)

    def _declare(self, queue: QueueSpec, *, created: bool) -> Answer:
        try:
            with broker_errors(self._address):
                counts = queue.declaration.declare(self._open_channel())
        except BrokerError as error:
            return self._of_this_queue(error)
        self._confirmed.add(queue)
        self.to_declare.add(queue)
        return self._reading(queue, counts, created=created)

    def _reading(self, queue: QueueSpec, counts: QueueCounts, *, created: bool = False) -> QueueReading:
        return QueueReading(counts, created, self._dead_letter_trouble.get(queue))

    def _declare_dead_letter_queues(self) -> None:
        """As many as there is time for, at least one."""
        deadline = time.monotonic() + DECLARE_SECONDS
        while self.to_declare:
            queue = self.to_declare.pop()
            self._dead_letter_trouble.pop(queue, None)
            try:
                with broker_errors(self._address):
                    # As the workers declare it.
                    QueueDeclaration(queue.dead_letter_queue, queue.declaration.type).declare(self._open_channel())
            except QueueMismatch:  # one that is there in another form is as good
                pass
            except BrokerError as error:
                self._dead_letter_trouble[queue] = error
                if self._connection is None or not self._connection.is_open:
                    raise
            if time.monotonic() >= deadline:
                return

    def _passive(self, name: str) -> QueueCounts:
        with broker_errors(self._address):
            return read_counts(self._open_channel(), name)

    def _of_this_queue(self, error: BrokerError) -> BrokerError:
        """The error, when the broker closed the channel for it and kept the connection; else it is raised, for all."""
        if self._connection is not None and self._connection.is_open and self._channel and not self._channel.is_open:
            return error
        raise error

    def _open_channel(self) -> Any:
        if self._connection is None or not self._connection.is_open:
            self._confirmed.clear()
            self._connection = connect(self._address, self._settings)
            self._channel = None
        if self._channel is None or not self._channel.is_open:
            self._channel = self._connection.channel()
        return self._channel


def _same_for_all(queues: Sequence[QueueSpec], error: BrokerError) -> list[Answer]:
    return [error for _ in queues]
