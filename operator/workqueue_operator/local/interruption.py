"""Ctrl+C, SIGTERM and the closing of a terminal: the first one stops in order, each further one hurries."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """A signal came before there was anything to drain."""


class Interruption:
    """Listens from its making on."""

    def __init__(self) -> None:
        self.hurry: Callable[[], None] = lambda: None
        self._stopping = asyncio.Event()
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work returns; raises Interrupted, once it is cancelled, when a signal comes first."""
        task = asyncio.create_task(work)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Interrupted
            return task.result()
        finally:
            for one in (task, stopping):
                one.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await one

    def _signalled(self) -> None:
        if self._stopping.is_set():
            self.hurry()
        self._stopping.set()
