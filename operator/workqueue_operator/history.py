"""What the decision remembers between two passes. A frozen value: each pass makes the next one. Pure."""

from dataclasses import dataclass, replace


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
    #: Seconds of the clock; the first pass after the start. None: no pass yet.
    watched_since: float | None = None
    #: Seconds of the clock; since when the queue could not be read. None: it can be read.
    unknown_since: float | None = None

    def remember(self, now: float, replicas: int, window_seconds: float, *, known: bool) -> "History":
        """The history after a pass at `now` that wanted `replicas`."""
        kept = tuple(
            Wish(min(wish.time, now), wish.replicas)  # a clock that went back must not keep a wish for longer
            for wish in self.wishes
            if wish.replicas > replicas and now - wish.time < window_seconds
        )
        return replace(
            self,
            wishes=(*kept, Wish(now, replicas)),
            watched_since=now if self.watched_since is None else min(self.watched_since, now),
            unknown_since=None if known else _earliest(self.unknown_since, now),
        )

    def highest_wish(self, now: float, window_seconds: float) -> int:
        """The highest number wanted in the window that ends now; 0 without any."""
        return max((wish.replicas for wish in self.wishes if now - wish.time < window_seconds), default=0)

    def has_seen_whole_window(self, now: float, window_seconds: float) -> bool:
        """Whether the operator has watched for at least one window."""
        return self.watched_since is not None and now - self.watched_since >= window_seconds

    def unknown_for(self, now: float) -> float:
        """Seconds for which the queue could not be read, before this pass."""
        return 0.0 if self.unknown_since is None else max(0.0, now - self.unknown_since)


def _earliest(since: float | None, now: float) -> float:
    return now if since is None else min(since, now)
