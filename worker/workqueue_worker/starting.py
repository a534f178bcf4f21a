"""The time before there is a worker: a signal ends the process at once and in order, as no task is in hand yet.

Process 1 of a container is not ended by a signal that it does not handle, and a handler's module may import for long.
"""

import atexit
import os
import signal
import sys

from workqueue_worker.shutdown import EXIT_DRAINED

#: The signals that tell a worker to leave.
STOPPING = (signal.SIGTERM, signal.SIGINT)


class Starting:
    """Listens from its making, until the worker listens itself. To be made before a handler's module is imported."""

    def __init__(self) -> None:
        #: A signal came, and somebody kept it from ending the process: a handler's module that catches everything.
        self.asked = False
        self._again = False
        atexit.register(self._at_exit)  # the first who registers is called last
        for number in STOPPING:
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)  # one that came since hold_signals() is heard now

    def over(self) -> None:
        """Signals mean again what they mean to any program."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def start_again(self) -> None:
        """At its end in order the process becomes the same program, just started, with none of its memory."""
        self._again = True

    def _at_exit(self) -> None:
        if self._again:
            sys.stdout.flush()
            sys.stderr.flush()
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves

    def _on_signal(self, _number: int, _frame: object) -> None:
        self.asked = True
        raise SystemExit(EXIT_DRAINED)


def hold_signals() -> None:
    """Let signals wait for the one who starts again."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
