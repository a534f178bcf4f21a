"""The time before there is a worker: a signal ends the process at once and in order, as no task is in hand yet.

Process 1 of a container is not ended by a signal that it does not handle, and a handler's module may import for long.
"""

import signal

from workqueue_worker.shutdown import EXIT_DRAINED


class EarlySignals:
    """Listens from its making, until the worker listens itself."""

    def __init__(self) -> None:
        #: True after a signal that did not end the process: a handler's module may catch everything.
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    @staticmethod
    def over() -> None:
        """Signals mean again what they mean to any program."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self.asked = True
        raise SystemExit(EXIT_DRAINED)
