"""The end of the process: within seconds and with the exit code that was decided, whatever threads a library left."""

import atexit
import contextlib
import os
import signal
import threading
from typing import NoReturn

from workqueue_broker import standard_streams

from workqueue_worker import logs

logger = logs.logger(__name__)

#: Seconds that Python has for its own end: it joins threads that are no daemons, and runs atexit hooks.
END_SECONDS = 5.0
#: Seconds that a reader of stdout or stderr has when the process must end now.
FLUSH_SECONDS = 1.0


def ignore_signals_at_the_end() -> None:
    """From Python's last atexit hook on. Called first in a program, as hooks run in the opposite order.

    Python then takes its handlers away. A second SIGTERM would give a worker that has left in order the exit code of
    one that was killed.
    """
    atexit.register(_ignore_signals)


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def end_soon(exit_code: int) -> None:
    """Let Python end by itself, but for END_SECONDS at most; a signal ends the process at once, with the same code."""

    def on_signal(_number: int, _frame: object) -> None:
        end_now(exit_code)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    timer = threading.Timer(END_SECONDS, _give_up, [exit_code])
    timer.daemon = True
    timer.start()
    standard_streams.flush()


def end_now(exit_code: int) -> NoReturn:
    """End without waiting for threads, and without atexit hooks."""
    flushing = threading.Thread(target=standard_streams.flush, daemon=True)
    with contextlib.suppress(RuntimeError):  # no more threads
        flushing.start()
        flushing.join(FLUSH_SECONDS)
    os._exit(exit_code)


def _give_up(exit_code: int) -> NoReturn:
    main = threading.main_thread()
    names = [thread.name for thread in threading.enumerate() if not thread.daemon and thread is not main]
    logger.warning(
        "Python has not ended within %.0f s of the worker's end, so the process ends without it. "
        "Threads that are no daemons keep it: %s",
        *(END_SECONDS, ", ".join(names) or "none; an atexit hook may"),
    )
    end_now(exit_code)
