"""One queue's load, whose first message is known: one thread publishes with plain pika, and consumes one at a time."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import pika
from pika.adapters.blocking_connection import BlockingChannel

#: Seconds between two turns of a load.
TURN_SECONDS = 0.03


@dataclass(frozen=True)
class Pace:
    """Messages a second that are published and consumed, and how many are published at once now."""

    published: float = 0.0
    consumed: float = 0.0
    burst: int = 0


def steady(seconds: float, _turn: float) -> Pace:
    """20 messages a second each way, behind a backlog of ten seconds."""
    return Pace(published=20.0, consumed=20.0 if seconds > 10 else 0.0)


def burst(seconds: float, turn: float) -> Pace:
    """300 messages at once every 20 s, of which 20 a second are consumed: 15 s of work, then 5 s without any."""
    first, period = 5.0, 20.0
    comes = seconds >= first and (seconds - first) % period < turn
    return Pace(consumed=20.0, burst=300 if comes else 0)


def drain(seconds: float, _turn: float) -> Pace:
    """40 messages a second for 20 s, which nothing consumes; then 15 a second are consumed, and none published."""
    return Pace(published=40.0 if seconds < 20 else 0.0, consumed=15.0 if seconds >= 20 else 0.0)


SCENARIOS: dict[str, Callable[[float, float], Pace]] = {"steady": steady, "burst": burst, "drain": drain}


class Load(threading.Thread):
    """Runs one scenario on one declared queue until it is stopped."""

    def __init__(self, uri: str, queue: str, scenario: str) -> None:
        super().__init__(daemon=True)
        self.queue = queue
        self._uri = uri
        self._pace = SCENARIOS[scenario]
        #: It only consumes until this is set.
        self.go = threading.Event()
        self._stopping = threading.Event()
        #: When each message that was not delivered yet was published, in seconds of the monotonic clock.
        self._waiting: deque[float] = deque()
        self._unacked: deque[int] = deque()

    def first_published_at(self) -> float | None:
        """When the first message that waits was published; None: none waits."""
        try:
            return self._waiting[0]
        except IndexError:
            return None

    def stop(self) -> None:
        """End it, and wait for that."""
        self._stopping.set()
        self.join()

    def run(self) -> None:
        """In the thread."""
        connection = pika.BlockingConnection(pika.URLParameters(self._uri))
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(self.queue, self._delivered)
        started = last = time.monotonic()
        to_publish = to_ack = 0.0
        while not self._stopping.is_set():
            now = time.monotonic()
            if not self.go.is_set():
                started = last = now
            pace, turn, last = self._pace(now - started, now - last), now - last, now
            to_publish += pace.published * turn + pace.burst
            to_ack = min(to_ack + pace.consumed * turn, 1.0 + pace.consumed * turn)
            to_publish -= self._publish(channel, int(to_publish))
            while to_ack >= 1 and self._unacked:
                channel.basic_ack(self._unacked.popleft())
                to_ack -= 1
                connection.process_data_events(0.001)
            connection.process_data_events(TURN_SECONDS)
        connection.close()

    def _publish(self, channel: BlockingChannel, count: int) -> int:
        for _ in range(count):
            self._waiting.append(time.monotonic())
            channel.basic_publish("", self.queue, b"x" * 20, pika.BasicProperties(delivery_mode=2))
        return count

    def _delivered(self, _channel: object, method: pika.spec.Basic.Deliver, _properties: object, _body: bytes) -> None:
        self._waiting.popleft()
        self._unacked.append(method.delivery_tag)
