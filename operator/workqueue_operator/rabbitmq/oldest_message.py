"""How long the first message of a queue has waited, from the broker's total of published messages. Pure.

A queue is first in, first out: its first message was published when the total was `published now - messages ready now`.
So the totals of the past are kept: all of the last minutes, and fewer the older they are. The totals come every 5 s;
between two of them a rise of the live count shows when a burst came.

What the count of ready messages cannot show is in docs/limits.md.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

#: Seconds without an answer of the management API after which nothing is known.
STALE_SECONDS = 30.0
#: Seconds by which a total may lag behind the live count: two periods of RabbitMQ's statistics.
LAG_SECONDS = 10.0
#: Points that are kept at most, and left when some are dropped: a gap of two days is then a tenth of the age there.
MOST_POINTS = 160
KEPT_POINTS = 120
#: Rises of the live count that are kept until the totals have them; only those of at least a tenth of the messages of
#: their period make points.
MOST_RISES = 16
RISE_SHARE = 0.1


@dataclass(frozen=True)
class QueueTotals:
    """The broker's totals of one queue, since its start."""

    published: int
    acked: int


@dataclass(frozen=True)
class Point:
    """The broker's total at a time, in seconds of the operator's clock."""

    time: float
    published: int


@dataclass(frozen=True)
class Rise:
    """The live count rose by `messages` from the one time to the other, in seconds of the clock."""

    start: float
    end: float
    messages: int

    def split(self, messages: int) -> tuple["Rise", "Rise"]:
        """The first so many messages, and the others."""
        middle = self.start + (self.end - self.start) * messages / self.messages
        return Rise(self.start, middle, messages), Rise(middle, self.end, self.messages - messages)


class OldestMessage:
    """The history of one queue. Times are seconds of the operator's clock, which only grow."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._rises: deque[Rise] = deque(maxlen=MOST_RISES)
        #: Messages of the last total that no rise shows.
        self._unexplained = 0
        #: The last time that the queue was known to be empty; None: not since the totals began.
        self._empty_at: float | None = None
        self._measured_at = float("-inf")
        #: Of the last total: what was ready and acked then, and how many were acked a second before it.
        self._ready_then = self._acked_then = 0
        self._acks_per_second = 0.0
        #: The last live count, and its time.
        self._looked_at = float("-inf")
        self._ready = 0
        #: When the first message was published, by the latest estimate of the last seconds, and when that was made.
        self._first = self._first_at = float("-inf")

    @property
    def points(self) -> Sequence[Point]:
        """The totals that are kept, oldest first."""
        return self._points

    def measured(self, time: float, totals: QueueTotals | None, *, ordered: bool) -> None:
        """The management API showed the queue; `totals` is None while it has none of it.

        `ordered`: each message that the total counts enters the queue, and leaves it in the order in which it came.
        """
        if time <= self._measured_at or not ordered:
            self.forget()
        self._measured_at = time
        if not ordered:
            return
        if totals is None and not self._points and self._is_empty:
            totals = QueueTotals(0, 0)  # nothing was published yet
        if totals is None:
            return
        last = self._points[-1] if self._points else None
        if last and (totals.published < last.published or totals.acked < self._acked_then):
            self.forget()
            last = None
        if last:
            self._acks_per_second = (totals.acked - self._acked_then) / (time - last.time)
            for point in self._between(last, Point(time, totals.published)):
                self._add(point)
        self._add(Point(time, totals.published))
        self._ready_then, self._acked_then = self._ready, totals.acked

    def forget(self) -> None:
        """The totals begin again, as after a restart of the broker: what waits now has an unknown age."""
        self._points, self._empty_at, self._first_at = [], None, float("-inf")
        self._acks_per_second = 0.0
        self._rises.clear()

    def looked(self, time: float, ready: int, *, empty: bool) -> None:
        """A live count was read; `empty`: it is 0, and that is known to be so."""
        if time < self._looked_at:
            self.forget()
        elif ready > self._ready and self._looked_at > float("-inf"):
            self._rose(Rise(self._looked_at, time, ready - self._ready))
        self._looked_at, self._ready = time, ready
        while self._rises and time - self._rises[0].end > LAG_SECONDS:
            self._rises.popleft()
        if empty:
            self._empty_at = time
            self._points = self._points[-1:]
            self._rises.clear()
        published_at = self._first_published_at(time, ready)
        if published_at is not None and (published_at >= self._first or time - self._first_at > LAG_SECONDS):
            self._first, self._first_at = published_at, time

    @property
    def _is_empty(self) -> bool:
        return self._empty_at is not None and self._empty_at == self._looked_at

    def age(self, now: float, ready: int) -> float | None:
        """Seconds that the first of `ready` messages has waited; None: not known. 0 for a queue known to be empty."""
        if not self._points or not 0 <= now - self._measured_at <= STALE_SECONDS:
            return None
        if ready == 0:
            return 0.0 if self._is_empty else None
        published_at = self._first_published_at(now, ready)
        if published_at is None:
            return None
        if now - self._first_at <= LAG_SECONDS:  # it only moves on, except where messages are returned
            published_at = max(published_at, self._first)
        return max(0.0, now - published_at)

    def _first_published_at(self, now: float, ready: int) -> float | None:
        """When the first of `ready` messages was published; None: not known.

        Since the last total at least as many came as the live count rose by; and where it did not fall, those that took
        the place of the messages that were acked, if the workers go on as before. That takes the first one no further
        than the time that passed: workers that stopped do not make it young.
        """
        if not self._points:
            return None
        last, passed = self._points[-1], max(0.0, now - self._points[-1].time)
        risen = sum(rise.messages for rise in self._rises)
        replaced = int(ready - self._ready_then + self._acks_per_second * passed)
        least = self._published_at(last.published + risen - ready)
        likely = self._published_at(last.published + max(risen, replaced) - ready)
        return None if least is None or likely is None else min(likely, least + passed)

    def _published_at(self, before: int) -> float | None:
        """When the message was published that `before` messages came before; None: earlier than the totals began."""
        if self._empty_at is not None and self._empty_at >= self._points[0].time:
            before = max(before, self._points[0].published)  # all that waits came later; the totals may lag
        elif before < self._points[0].published:
            return None
        empty_at = float("-inf") if self._empty_at is None else self._empty_at
        after = bisect_right(self._points, before, key=attrgetter("published"))
        if after == len(self._points):  # no total has it yet
            return max(empty_at, self._risen_at(before - self._points[-1].published))
        low, high = self._points[after - 1], self._points[after]
        start = min(max(low.time, empty_at), high.time)
        share = (before + 1 - low.published) / (high.published - low.published)
        return start + share * (high.time - start)

    def _risen_at(self, before: int) -> float:
        """When the message came that no total has yet, and that so many of the others came before."""
        for rise in self._rises:
            if before < rise.messages:
                return rise.start + (before + 1) / rise.messages * (rise.end - rise.start)
            before -= rise.messages
        return self._points[-1].time

    def _rose(self, rise: Rise) -> None:
        if self._points and rise.start < self._points[-1].time:  # the last total may have it
            counted = min(self._unexplained, rise.messages)
            self._unexplained -= counted
            self._ready_then += counted
            rise = Rise(rise.start, rise.end, rise.messages - counted)
        if not rise.messages:
            return
        last = self._rises[-1] if self._rises else None
        if last and last.end == rise.start:
            self._rises[-1] = Rise(last.start, rise.end, last.messages + rise.messages)
        else:
            self._rises.append(rise)

    def _between(self, low: Point, high: Point) -> Iterator[Point]:
        """Points at the rises of a period: what they do not explain came evenly."""
        left = high.published - low.published
        least, taken = RISE_SHARE * left, 0
        rises = []
        while self._rises and taken < left:
            rise, rest = self._rises.popleft(), None
            if rise.messages > left - taken:
                rise, rest = rise.split(left - taken)
            if rise.messages >= least:
                rises.append(rise)
                taken += rise.messages
            if rest:  # a later total has it
                self._rises.appendleft(rest)
                break
        if rises and rises[0].start < low.time:  # it came before the last total, which lagged
            low = Point(
                max(rises[0].start, self._points[-2].time if len(self._points) > 1 else rises[0].start), low.published
            )
            self._points[-1] = low
        even, time, published = max(0, left - taken), low.time, low.published
        self._unexplained = even
        for rise in rises:
            start, end = (min(max(moment, time), high.time) for moment in (rise.start, rise.end))
            published = min(published + int(even * (start - time) / (high.time - low.time)), high.published)
            yield Point(start, published)
            published = min(published + rise.messages, high.published)
            yield Point(end, published)
            time = end

    def _add(self, point: Point) -> None:
        """The last point; of a time without messages only the ends are kept."""
        level = self._points[-2:]
        if len(level) == 2 and level[0].published == level[1].published == point.published:
            self._points.pop()
        self._points.append(point)
        if len(self._points) > MOST_POINTS:
            self._points = _thinned(self._points)


def _thinned(points: list[Point]) -> list[Point]:
    """Without the samples whose gap would be the smallest beside their age; the first and the last stay."""
    now = points[-1].time
    gaps = [
        ((high.time - low.time) / max(now - middle.time, 1.0), number)
        for number, (low, middle, high) in enumerate(zip(points, points[1:], points[2:], strict=False), 1)
    ]
    dropped: set[int] = set()
    for _, number in sorted(gaps):
        if len(points) - len(dropped) <= KEPT_POINTS:
            break
        if number - 1 not in dropped and number + 1 not in dropped:
            dropped.add(number)
    return [point for number, point in enumerate(points) if number not in dropped]
