"""Signals at any moment of the producer's code, and handlers that are as before afterwards."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from workqueue_producer.interruption import Interruption

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def listening() -> Iterator[Interruption]:
    """The signals' handlers are as before afterwards."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    interruption = Interruption()
    interruption.listen()
    try:
        yield interruption
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(interruption._awake)
        os.close(interruption._waker)


class SignalAtStep:
    """SIGINT comes just before the `step`-th line of the producer's code that runs inside the block."""

    def __init__(self, step: int) -> None:
        self._left = step

    @property
    def came(self) -> bool:
        return self._left <= 0

    def __enter__(self) -> "SignalAtStep":
        self._outer = sys.gettrace()
        sys.settrace(self._on_call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._outer)

    def _on_call(self, frame: FrameType, event: str, _: Any) -> Any:
        return self._on_line if "workqueue_producer" in frame.f_code.co_filename else None

    def _on_line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            self._left -= 1
            if self._left == 0:
                signal.raise_signal(signal.SIGINT)
        return self._on_line
