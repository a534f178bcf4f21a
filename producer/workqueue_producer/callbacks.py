"""Threads for what callers want to be called: the I/O thread runs no code of a caller.

Rule: a callback that raises, exits or never returns costs one of these threads at most.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable

logger = logging.getLogger(__name__)

#: So many callbacks may run at a time; more wait for one of them to return.
THREADS = 8
#: Seconds that a thread other than the first waits for the next callback before it ends.
IDLE_SECONDS = 1.0


class Callbacks:
    """Calls in threads of their own, in no promised order."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: deque[Callable[[], object]] = deque()
        self._threads: set[threading.Thread] = set()
        self._running: set[threading.Thread] = set()
        self._closed = False

    def expect(self) -> None:
        """A call will come, perhaps at the interpreter's end, when no thread can be started any more."""
        with self._changed:
            if not self._threads:
                self._start()

    def run(self, call: Callable[[], object]) -> None:
        """From any thread: call it in one of ours."""
        with self._changed:
            self._calls.append(call)
            free = len(self._threads) - len(self._running)
            if len(self._calls) > free and len(self._threads) < THREADS:
                self._start()
            self._changed.notify()

    def close(self, timeout: float) -> None:
        """Wait at most `timeout` seconds for what is to be called; a callback itself may call this."""
        own = {threading.current_thread()}
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._calls and self._running <= own, timeout)

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="workqueue-callbacks", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more threads: the existing ones must do
            logger.warning("no thread for the callbacks of futures, they wait for another: %s", error)
        else:
            self._threads.add(thread)

    def _work(self) -> None:
        thread = threading.current_thread()
        while (call := self._next(thread)) is not None:
            try:
                call()
            except BaseException:
                logger.exception("a callback of a future failed")

    def _next(self, thread: threading.Thread) -> Callable[[], object] | None:
        """None: the thread is to end."""
        with self._changed:
            self._running.discard(thread)
            self._changed.notify_all()
            while not self._calls:
                if self._closed:
                    self._threads.discard(thread)
                    return None
                more = len(self._threads) > 1
                idle = not self._changed.wait(IDLE_SECONDS if more else None)
                if idle and len(self._threads) > 1 and not self._calls:
                    self._threads.discard(thread)
                    return None
            self._running.add(thread)
            return self._calls.popleft()
