"""Reads many queues of one broker over one AMQP connection; what is pika's lies under it, in workqueue_broker.

A queue that cannot be read is an error in the answer, never a zero. One that is missing, refused or locked costs its
channel, not the connection, and no other queue its reading.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from workqueue_broker.address import BrokerAddress
from workqueue_broker.asyncio_connection import AsyncioConnection, Channel
from workqueue_broker.connection import ConnectionSettings
from workqueue_broker.declaration import Declare, QueueCounts, QueueDeclaration
from workqueue_broker.errors import AccessRefused, BrokerError, BrokerUnavailable, QueueMismatch, QueueMissing
from workqueue_broker.foreign_text import error_text

from workqueue_operator.resource import QueueSpec

#: Seconds for one round of reading, and for each queue of it. A slower broker counts as one that does not answer.
ROUND_SECONDS = 5.0
QUEUE_SECONDS = 0.01
#: Passive declares in flight on one connection; a broker allows 2,047 channels unless it is set otherwise.
MOST_CHANNELS = 32
#: Seconds; shorter than a worker's, since a dead peer here means a stale reading.
HEARTBEAT_SECONDS = 10
#: Seconds of a round for dead-letter queues: making a thousand quorum queues takes a minute, and readings do not wait.
DECLARE_SECONDS = 0.1
#: The number of the channel for counts of other queues, and seconds for an answer.
COUNTING = -1
COUNT_SECONDS = 5.0
#: Seconds between two checks of a queue that is not as we declare it: each one is an error in the broker's log.
MISMATCH_SECONDS = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class QueueReading:
    """A queue's live counts, and whether it had to be made first."""

    counts: QueueCounts
    created: bool = False
    #: The queue is not as spec.queue has it; the counts are those of what is there. None: it is.
    mismatch: QueueMismatch | None = None
    #: Why its dead-letter queue could not be made the last time that was tried; None: it was, or is not ours to make.
    dead_letter_trouble: BrokerError | None = None


ReadResult = QueueReading | BrokerError


class QueueReader(Protocol):
    """Reads the queues of one broker."""

    async def read(self, queues: Sequence[QueueSpec]) -> Sequence[ReadResult]:
        """A reading or an error for each queue, in their order; never raises a BrokerError."""

    def declare_dead_letter_queue(self, queue: QueueSpec) -> None:
        """Make the queue's dead-letter queue at the end of a later round; what goes wrong is in the readings then."""

    async def count(self, name: str) -> QueueCounts:
        """The counts of another queue, over the connection that there is; raises a BrokerError. One at a time."""

    async def close(self) -> None:
        """Give the connection back."""


class AmqpQueueReader:
    """A QueueReader over one connection with many channels, made at the first reading and after each loss.

    Everything happens in the event loop. A round that takes too long drops the connection, and with it whatever hangs.
    """

    def __init__(self, address: BrokerAddress, name: str) -> None:
        self._address = address
        self._settings = ConnectionSettings(name, heartbeat=HEARTBEAT_SECONDS, blocked_timeout=None)
        self._connection: AsyncioConnection | None = None
        #: The attempt to connect that is under way; it may take longer than a round.
        self._connecting: asyncio.Task[AsyncioConnection] | None = None
        #: The count of another queue that is under way.
        self._counting: asyncio.Task[QueueCounts] | None = None
        #: By number; one that the broker closed, as a queue was missing or refused, is opened again at its next use.
        self._channels: dict[int, Channel] = {}
        #: Channels of a round, beside which there is one for counts; and what they were when the connection was made.
        self._most_channels = self._channels_tried = MOST_CHANNELS
        #: Queues whose declaration was seen to be ours on this connection.
        self._confirmed: set[QueueSpec] = set()
        #: Queues whose dead-letter queue is to be made.
        self._to_declare: set[QueueSpec] = set()
        self._dead_letter_trouble: dict[QueueSpec, BrokerError] = {}
        #: Queues that are not as we declare them: the broker's words, and when to ask again (seconds of the clock).
        self._mismatched: dict[QueueSpec, tuple[QueueMismatch, float]] = {}

    async def read(self, queues: Sequence[QueueSpec]) -> Sequence[ReadResult]:
        """One passive declare a queue; those without an answer in time, or before the connection is lost, get why."""
        seconds = ROUND_SECONDS + QUEUE_SECONDS * len(queues)
        answers: dict[int, ReadResult] = {}
        trouble: BrokerError = BrokerUnavailable(f"{self._address} did not answer within {seconds:.0f} s")
        whole = False
        try:
            async with asyncio.timeout(seconds):
                await self._connected()
                await self._read_all(queues, answers)
                await self._declare_dead_letter_queues()
            whole = True
        except TimeoutError as error:
            trouble = error if isinstance(error, BrokerError) else trouble
        except BrokerError as error:
            trouble = error
        except Exception as error:  # noqa: BLE001 - the border: what a stranger's server says may fail the library in any way
            trouble = BrokerUnavailable(f"{self._address}: the connection failed: {type(error).__name__}")
            log.warning("%s: %s", trouble, error_text(error))
        finally:
            if not whole:
                self._lose()
        return [answers.get(number, trouble) for number in range(len(queues))]

    def declare_dead_letter_queue(self, queue: QueueSpec) -> None:
        """Make the queue's dead-letter queue at the end of the next rounds."""
        self._to_declare.add(queue)

    async def count(self, name: str) -> QueueCounts:
        """Passive declare on a channel of its own; a queue that does not answer stops these questions, and no reading.

        Raises a BrokerError, QueueMissing among them; BrokerUnavailable while there is no connection.
        """
        counting = self._counting
        if counting is None or counting.done():
            counting = self._counting = asyncio.create_task(self._count(name))
            counting.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may not be awaited again
            await asyncio.wait((counting,), timeout=COUNT_SECONDS)
            if counting.done():
                return counting.result()
        raise BrokerUnavailable(f"{self._address}: a dead-letter queue did not answer within {COUNT_SECONDS:g} s")

    async def _count(self, name: str) -> QueueCounts:
        if self._connection is None or not self._connection.is_open:
            raise BrokerUnavailable(f"{self._address}: there is no connection")
        if self._most_channels == 1:  # the broker may end a connection that opens one channel too many
            raise BrokerUnavailable(f"{self._address}: the user or the virtual host may have no more channels")
        return await (await self._open_channel(COUNTING)).read_counts(name)

    async def close(self) -> None:
        """Close the connection; waits at most a second for a broker that hangs."""
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
            await asyncio.wait((connecting,))
            if not connecting.cancelled() and connecting.exception() is None:  # it had ended before a round took it
                connecting.result().drop()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _lose(self) -> None:
        """Give up the connection at once; what was not read yet is not known."""
        connection, self._connection = self._connection, None
        self._channels.clear()
        self._confirmed.clear()
        self._dead_letter_trouble.clear()
        if connection is not None:
            connection.drop()

    async def _connected(self) -> AsyncioConnection:
        if self._connection is not None and self._connection.is_open:
            return self._connection
        self._lose()
        if self._connecting is None:
            self._connecting = asyncio.create_task(AsyncioConnection.open(self._address, self._settings))
        # Not awaited: a round that ends must not end the attempt.
        await asyncio.wait((self._connecting,))
        connecting, self._connecting = self._connecting, None
        self._connection = connecting.result()
        self._channels_tried = max(1, min(self._most_channels, self._connection.most_channels - 1))
        self._most_channels = self._channels_tried
        return self._connection

    async def _read_all(self, queues: Sequence[QueueSpec], answers: dict[int, ReadResult]) -> None:
        """Each channel takes the next queue when it has the answer for one, so that a slow queue delays no other."""
        todo = iter(range(len(queues)))

        async def take(channel: int) -> None:
            for number in todo:
                answers[number] = await self._read_one(channel, queues[number])

        try:
            async with asyncio.TaskGroup() as channels:
                for channel in range(min(len(queues), self._most_channels)):
                    channels.create_task(take(channel))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group

    async def _read_one(self, channel: int, queue: QueueSpec) -> ReadResult:
        """Passive declare; the queue is declared where it is ours to make, or to check for its type."""
        try:
            counts = await (await self._open_channel(channel)).read_counts(queue.declaration.name)
        except QueueMissing as missing:
            self._confirmed.discard(queue)
            return missing if queue.declare is Declare.NEVER else await self._declare(channel, queue, created=True)
        except BrokerError as error:
            return self._of_this_queue(channel, error)
        if queue.declare is Declare.CREATE and queue not in self._confirmed:
            return await self._check(channel, queue, counts)
        return self._reading(queue, counts)

    async def _check(self, channel: int, queue: QueueSpec, counts: QueueCounts) -> ReadResult:
        """Whether the queue is as we declare it, asked now and then; of one that is not the counts are known too."""
        mismatch, until = self._mismatched.get(queue, (None, 0.0))
        if mismatch and time.monotonic() < until:
            return QueueReading(counts, mismatch=mismatch)
        answer = await self._declare(channel, queue, created=False)
        if not isinstance(answer, QueueMismatch):
            self._mismatched.pop(queue, None)
            return answer
        self._mismatched[queue] = (answer, time.monotonic() + MISMATCH_SECONDS)
        return QueueReading(counts, mismatch=answer)

    async def _declare(self, channel: int, queue: QueueSpec, *, created: bool) -> ReadResult:
        try:
            counts = await (await self._open_channel(channel)).declare(queue.declaration)
        except BrokerError as error:
            return self._of_this_queue(channel, error)
        self._confirmed.add(queue)
        self._to_declare.add(queue)
        return self._reading(queue, counts, created=created)

    def _reading(self, queue: QueueSpec, counts: QueueCounts, *, created: bool = False) -> QueueReading:
        return QueueReading(counts, created, dead_letter_trouble=self._dead_letter_trouble.get(queue))

    async def _declare_dead_letter_queues(self) -> None:
        """As many as there is time for, at least one."""
        deadline = time.monotonic() + DECLARE_SECONDS
        while self._to_declare:
            queue = self._to_declare.pop()
            self._dead_letter_trouble.pop(queue, None)
            try:
                channel = await self._open_channel(0)
                # As the workers declare it.
                await channel.declare(QueueDeclaration(queue.dead_letter_queue, queue.declaration.type))
            except QueueMismatch:  # one that is there in another form is as good
                pass
            except BrokerError as error:
                self._dead_letter_trouble[queue] = self._of_this_queue(0, error)
            if time.monotonic() >= deadline:
                return

    def _of_this_queue(self, channel: int, error: BrokerError) -> BrokerError:
        """The error, when the broker closed the channel for it and kept the connection; else it is raised, for all."""
        known = self._channels.get(channel)
        if self._connection is not None and self._connection.is_open and known is not None and not known.is_open:
            return error
        raise error

    async def _open_channel(self, number: int) -> Channel:
        known = self._channels.get(number)
        if known is not None and known.is_open:
            return known
        if self._connection is None:
            raise BrokerUnavailable(f"{self._address}: the connection was lost")
        self._channels.pop(number, None)
        try:
            self._channels[number] = await self._connection.channel()
        except AccessRefused:
            # The user may have fewer channels. All that were being opened are refused together: half of them is enough.
            self._most_channels = max(1, self._channels_tried // 2)
            raise
        return self._channels[number]
