"""How long to wait before the next connection: jittered, growing, and slower when only a person can help. Pure."""

import random
from collections.abc import Callable

from workqueue_broker.backoff import full_jitter
from workqueue_broker.errors import BrokerError, BrokerUnavailable

#: Seconds; a broker that is back is found within these.
LONGEST_WAIT_SECONDS = 10.0
#: Seconds; refused, missing or mismatched: soon after a person has fixed it, without a storm of attempts until then.
REFUSED_WAIT_SECONDS = 5.0
#: Seconds that a connection must have held for the waits to start small again.
HEALTHY_SECONDS = 60.0


class Reconnecting:
    """Remembers how it went lately."""

    def __init__(self, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._uniform = uniform
        self._failures = 0
        self._connected_at: float | None = None

    def connected(self, now: float) -> None:
        """A connection was opened."""
        self._connected_at = now

    def wait_after(self, error: BrokerError, now: float) -> float:
        """Seconds to wait after an attempt that failed, or a connection that was lost."""
        if self._connected_at is not None and now - self._connected_at >= HEALTHY_SECONDS:
            self._failures = 0
        self._connected_at = None
        self._failures += 1
        jitter = full_jitter(self._failures, base=0.5, cap=LONGEST_WAIT_SECONDS, uniform=self._uniform)
        return jitter if isinstance(error, BrokerUnavailable) else REFUSED_WAIT_SECONDS + jitter
