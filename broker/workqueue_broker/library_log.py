"""The library's own log lines, which report each failed attempt to connect about five times, as errors.

Rule: a program's logging belongs to the program. No level, handler or switch of it is changed: what pika logs in our
threads is dropped, and what it logs for the program itself is not.
"""

import logging
import threading

import pika  # noqa: F401 - its loggers must be there

_here = threading.local()


def quieten_this_thread() -> None:
    """Drop pika's lines from the calling thread, unless the program has set a level for the logger `pika`."""
    _here.quiet = True
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("pika."):
            logging.getLogger(name).addFilter(_wanted)  # adds it once only


def _wanted(_: logging.LogRecord) -> bool:
    return not getattr(_here, "quiet", False) or logging.getLogger("pika").level != logging.NOTSET
