"""What the decision remembers between two passes. A frozen value: each pass makes the next one. Pure."""

from dataclasses import dataclass, replace

from workqueue_operator.scaling.demand import Counts

#: Longest gap between passes before the stabilization window starts over: this many polls, but at least this many
#: seconds, since a scale-down that asks many workers takes seconds. Demand during a longer gap was not observed.
PAUSE_POLLS = 5
PAUSE_SECONDS = 10.0


@dataclass(frozen=True)
class Wish:
    """A number of workers that was wanted at a time."""

    #: Seconds of the operator's monotonic clock.
    time: float
    replicas: int


@dataclass(frozen=True)
class History:
    """The wishes of the stabilization window, and since when it has been watched."""

    #: Only wishes that no later one reaches or exceeds, oldest and highest first: enough for the window's maximum.
    wishes: tuple[Wish, ...] = ()
    #: Seconds of the clock; since when passes follow each other without a pause. None: no pass yet.
    watched_since: float | None = None
    #: Seconds of the clock; the last pass.
    passed_at: float = 0.0
    #: For how long wishes were kept at the last pass.
    window_seconds: float = 0.0
    #: Seconds of the clock; since when the queue could not be read. None: it can be read.
    unknown_since: float | None = None
    #: Whether a worker may have consumed by the last counts that could be believed.
    in_use: bool = False

    def remember(
        self, now: float, replicas: int, window_seconds: float, *, known: bool, poll_seconds: float = 1.0
    ) -> "History":
        """The history after a pass at `now` that wanted `replicas`."""
        kept = tuple(
            Wish(min(wish.time, now), wish.replicas)  # a clock that went back must not keep a wish for longer
            for wish in self.wishes
            if wish.replicas > replicas and now - wish.time < window_seconds
        )
        return replace(
            self,
            wishes=(*kept, Wish(now, replicas)),
            watched_since=_earliest(self._watched_since(now, window_seconds, poll_seconds), now),
            passed_at=now,
            window_seconds=window_seconds,
            unknown_since=None if known else _earliest(self.unknown_since, now),
        )

    def saw(self, counts: Counts, ready: int = 0) -> "History":
        """The history after counts that could be believed, beside so many Ready workers.

        Messages alone are no use of the queue: workers of which none was ever Ready lost no consumer with a leader.
        """
        waiting = counts.messages_ready > 0
        return replace(self, in_use=counts.consumers > 0 or (waiting and (self.in_use or ready > 0)))

    def highest_wish(self, now: float, window_seconds: float) -> int:
        """The highest number wanted in the window that ends now; 0 without any."""
        return max((wish.replicas for wish in self.wishes if now - wish.time < window_seconds), default=0)

    def has_seen_whole_window(self, now: float, window_seconds: float, poll_seconds: float = 1.0) -> bool:
        """Whether the operator has really watched for at least one window, up to now."""
        since = self._watched_since(now, window_seconds, poll_seconds)
        return since is not None and now - since >= window_seconds

    def unknown_for(self, now: float) -> float:
        """Seconds for which the queue could not be read, before this pass."""
        return 0.0 if self.unknown_since is None else max(0.0, now - self.unknown_since)

    def _watched_since(self, now: float, window_seconds: float, poll_seconds: float) -> float | None:
        """None also after a pause in the passes, and when the window is longer than that for which wishes were kept."""
        paused = now - self.passed_at > max(PAUSE_SECONDS, PAUSE_POLLS * poll_seconds)
        return None if paused or window_seconds > self.window_seconds else self.watched_since


def _earliest(since: float | None, now: float) -> float:
    return now if since is None else min(since, now)
