"""When a container that ended is started again: as a kubelet does it. Pure.

Source: Kubernetes pkg/kubelet/kubelet.go (initial 10 s, at most 5 min) and client-go/util/flowcontrol/backoff.go, which
forgets a back-off after twice its most.
"""

from dataclasses import dataclass

#: Seconds.
FIRST_DELAY_SECONDS = 10.0
MOST_DELAY_SECONDS = 300.0
#: Seconds that a container must have run until its earlier ends are forgotten.
RESET_SECONDS = 600.0


@dataclass(frozen=True)
class Restarts:
    """How often a container ended, and how long it waits for its next start."""

    count: int = 0
    #: Seconds from the last end to the next start; the first one is at once.
    delay_seconds: float = 0.0
    #: Ends in a row, none of which came after a long run.
    in_a_row: int = 0
    #: Of the last end; negative for a signal. None: it never ended.
    exit_code: int | None = None

    def ended(self, exit_code: int, ran_seconds: float) -> "Restarts":
        """After one more end."""
        in_a_row = 1 if ran_seconds >= RESET_SECONDS else self.in_a_row + 1
        doubled = FIRST_DELAY_SECONDS * 2.0 ** min(in_a_row - 2, 10)
        delay = 0.0 if in_a_row == 1 else min(MOST_DELAY_SECONDS, doubled)
        return Restarts(self.count + 1, delay, in_a_row, exit_code)

    @property
    def failures(self) -> int:
        """The count, or 0 when the last end was in order; see Pod.restarts."""
        return 0 if self.exit_code == 0 else self.count
