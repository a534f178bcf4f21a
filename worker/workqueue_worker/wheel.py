"""The right to use the connection. No result lies while it is free.

This is kept by the order of two steps: a thread adds its result, then tries the wheel, without waiting for it; a thread
that lets go of the wheel looks at the results once more. So a result is settled by its own thread, or by the thread
that has the wheel at that moment.
"""

import threading
from collections.abc import Callable, Sized


class Wheel:
    """A lock, to be used as a context. What is due is settled before any thread leaves it free."""

    def __init__(self, results: Sized, settle: Callable[[], None]) -> None:
        """`settle` is called with the wheel, while there are `results`; it removes them."""
        self._results = results
        self._settle = settle
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        self.settle_if_free()

    def settle_if_free(self) -> None:
        """Settle what is due, unless another thread has the wheel, which does this before it lets go."""
        while self._results and self._lock.acquire(blocking=False):
            try:
                self._settle()
            finally:
                self._lock.release()
