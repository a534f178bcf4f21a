"""A loop for pika's connection that waits apart from working, so that a thread may wait while others write.

pika's own loop does both in one step: a thread that waits for the next message keeps all others from the connection.
Rule: everything is for one thread at a time, but for wait(), which looks at the sockets only, and add_callback().
"""

import heapq
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from pika.adapters.utils.selector_ioloop_adapter import AbstractSelectorIOLoop

#: (descriptor, events)
Handler = Callable[[int, int], None]

#: Seconds; the longest look at the sockets, when no timer ends it sooner.
LONGEST_WAIT_SECONDS = 5.0
#: What poll() reports for a broken socket; a read from it raises the reason.
_BROKEN = select.POLLERR | select.POLLHUP
#: To ask for that alone; Linux also reports when the other end sends no more.
_CLOSED = getattr(select, "POLLRDHUP", 0)


class Timer:
    """A call at a time in monotonic seconds; None: taken back."""

    __slots__ = ("callback", "due")

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback: Callable[[], None] | None = callback

    def __lt__(self, other: "Timer") -> bool:
        return self.due < other.due


class Loop(AbstractSelectorIOLoop):  # type: ignore[misc] # pika has no type hints
    """The methods that pika asks of a loop, and three ways to run it: work(), write() and run_until()."""

    READ, WRITE, ERROR = select.POLLIN, select.POLLOUT, select.POLLERR

    def __init__(self, alive: Callable[[], None]) -> None:
        """`alive` is called every few seconds while run_until() waits."""
        self._alive = alive
        self._handlers: dict[int, Handler] = {}
        self._wanted: dict[int, int] = {}
        self._timers: list[Timer] = []
        self._callbacks: deque[Callable[[], None]] = deque()
        self._bell, self._ear = socket.socketpair()
        self._ear_number = self._ear.fileno()
        for end in (self._bell, self._ear):
            end.setblocking(False)

    # For pika.

    def add_handler(self, fd: int, handler: Handler, events: int) -> None:
        """Watch a descriptor."""
        self._handlers[fd] = handler
        self._wanted[fd] = events

    def update_handler(self, fd: int, events: int) -> None:
        """Watch it for other events."""
        self._wanted[fd] = events

    def remove_handler(self, fd: int) -> None:
        """Watch it no more."""
        del self._handlers[fd], self._wanted[fd]

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call once, after `delay` seconds."""
        timer = Timer(time.monotonic() + delay, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def remove_timeout(self, timer: Timer) -> None:
        """Do not call."""
        timer.callback = None

    def add_callback(self, callback: Callable[[], None]) -> None:
        """Call it with the next work. From any thread."""
        self._callbacks.append(callback)
        self.wake()

    # For the connection's user.

    def wait(self, seconds: float) -> None:
        """Return when there is work, after wake(), or when the time is over. For one thread, beside the others' use."""
        self._poll(seconds)

    def wake(self) -> None:
        """End a wait() that goes on, or the next one. From any thread."""
        with suppress(OSError):  # full: the loop is awake already; closed: no thread waits
            self._bell.send(b"!")

    def peer_is_gone(self) -> bool:
        """True when a peer has closed its end, even while that lies unread in the socket. Looks at the sockets only."""
        poller = select.poll()
        for fd in self._wanted:
            poller.register(fd, _CLOSED)
        return bool(poller.poll(0))

    def work(self) -> None:
        """Run what is due and call every handler without polling first: a read on an idle socket returns at once."""
        self._run_what_is_due()
        for fd, events in list(self._wanted.items()):
            self._handle(fd, events)

    def write(self) -> None:
        """Hand to the system what waits to be written. What it does not take now goes with later work()."""
        for fd, events in list(self._wanted.items()):
            if events & self.WRITE:
                self._handle(fd, self.WRITE)
        self._call_back()  # reports a write that failed to the caller that wrote
        if any(events & self.WRITE for events in list(self._wanted.values())):
            self.wake()  # the waiting thread must wait for room, too

    def run_until(self, fact: Callable[[], object], seconds: float) -> bool:
        """Wait and work until something is so; False when it is not so after `seconds`."""
        until = time.monotonic() + seconds
        while not fact():
            self._alive()
            left = until - time.monotonic()
            if left <= 0:
                return False
            for fd, events in self._poll(min(left, LONGEST_WAIT_SECONDS)):
                self._handle(fd, events | self.READ if events & _BROKEN else events)
            self._run_what_is_due()
        return True

    def close(self) -> None:
        """Nothing is watched any more."""
        self._bell.close()
        self._ear.close()

    def _poll(self, seconds: float) -> list[tuple[int, int]]:
        poller = select.poll()  # a new one costs less than keeping one right between threads
        poller.register(self._ear_number, select.POLLIN)
        for fd, events in list(self._wanted.items()):
            poller.register(fd, events)
        ready = poller.poll(1000 * min(seconds, self._seconds_to_the_next_call()))
        if any(fd == self._ear_number for fd, _ in ready):
            with suppress(OSError):  # another thread has read it, or the socket is closed
                self._ear.recv(4096)
        return ready

    def _seconds_to_the_next_call(self) -> float:
        if self._callbacks:
            return 0.0
        first = self._timers[:1]  # a copy, as another thread may take the only one away
        return max(0.0, first[0].due - time.monotonic()) if first else LONGEST_WAIT_SECONDS

    def _handle(self, fd: int, events: int) -> None:
        watched = events & self._wanted.get(fd, 0)  # an earlier handler may have taken it away
        if watched:
            self._handlers[fd](fd, watched)

    def _run_what_is_due(self) -> None:
        self._call_back()
        now = time.monotonic()
        while self._timers and self._timers[0].due <= now:
            callback = heapq.heappop(self._timers).callback
            if callback:
                callback()

    def _call_back(self) -> None:
        for _ in range(len(self._callbacks)):  # not those that they add
            self._callbacks.popleft()()
