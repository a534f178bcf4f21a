"""Ctrl+C, SIGTERM and a closed terminal: each ends the wait for input or for the pace, and raises nothing.

Rule: an exception out of a signal handler comes between any two steps and loses the task in hand. So a signal sets a
flag and wakes the one wait there is. Used by the source and by the run of new-task.
"""

import os
import select
import signal
from contextlib import suppress

_HINT = b"new-task: interrupted; waiting for the confirms of what was sent (once more: do not wait)\n"
#: Seconds; the system takes no wait much longer than this.
LONGEST_WAIT = 1e9


class Interruption:
    """What came, and a wait that it ends."""

    def __init__(self) -> None:
        #: The signal's number; None until one comes.
        self.signal: int | None = None
        #: A second one came: do not wait for confirms.
        self.hurry = False
        self._awake, self._waker = os.pipe()
        os.set_blocking(self._waker, False)

    def listen(self) -> None:
        """From now on signals come here; in the main thread only."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup: the user wants us on
                signal.signal(number, self._on_signal)
        # The interpreter writes there as the signal comes, so that one just before a wait is not missed.
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)

    def wait(self, seconds: float | None, stream: int | None = None) -> bool:
        """Until the seconds are over (None: no limit) or the stream has something; False: until a signal came."""
        limit = None if seconds is None else min(seconds, LONGEST_WAIT)
        streams = [self._awake] if stream is None else [self._awake, stream]
        while self.signal is None:
            readable, _, _ = select.select(streams, [], [], limit)
            if self._awake not in readable:
                return True
            os.read(self._awake, 1)  # the handler runs before the next look at the flag
        return False

    def _on_signal(self, number: int, _: object) -> None:
        self.hurry = self.signal is not None
        self.signal = number
        if not self.hurry:
            with suppress(OSError):  # its reader may have left
                os.write(2, _HINT)  # not through sys.stderr, which may be in the middle of a write
