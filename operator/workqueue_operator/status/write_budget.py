"""How often the operator writes about one WorkQueue: statuses and Events. Pure.

They are written in the operator's name and not in the tenant's. A queue whose count flaps, or a spec that is changed
without pause, must not take the API server away from all other WorkQueues.
"""

from dataclasses import dataclass

#: Writes at once, and seconds until there is another one.
BURST = 20.0
SECONDS_PER_WRITE = 2.0


@dataclass
class WriteBudget:
    """A token bucket. Times are seconds of the clock."""

    _left: float = BURST
    _at: float = float("-inf")
    _limited: bool = False

    def take(self, now: float) -> bool:
        """Whether there may be a write now; it is counted."""
        self._refill(now)
        if self._left < 1.0:
            self._limited = True
            return False
        self._left -= 1.0
        return True

    def is_limited(self, now: float) -> bool:
        """Whether a write had to wait since the bucket was last full: a state that does not itself flap."""
        self._refill(now)
        return self._limited

    def _refill(self, now: float) -> None:
        self._left = min(BURST, self._left + max(0.0, now - self._at) / SECONDS_PER_WRITE)
        self._at = now
        self._limited = self._limited and self._left < BURST
