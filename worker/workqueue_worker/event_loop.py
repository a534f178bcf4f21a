"""The event loop in which every coroutine of a handler runs: one, in a thread of its own, until the worker ends.

A client with a pool of connections belongs to the loop that it was made in, so a loop for each task would break it.
Imported with the first coroutine, because asyncio takes a tenth of a worker's start.
"""

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Awaitable

from workqueue_worker import logs
from workqueue_worker.cancellation import Cancellation

logger = logs.logger(__name__)

#: Seconds that background tasks of the handler have at the end, after they were cancelled.
CLOSE_SECONDS = 2.0


class EventLoop:
    """Starts its thread at once. Safe from several threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._process_id = os.getpid()
        self._closing = False
        self._thread = threading.Thread(target=self._turn, name="handler-event-loop", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def run(self, awaitable: Awaitable[object], cancellation: Cancellation) -> None:
        """Await it in the loop, and raise what it raises. Setting `cancellation` cancels it at its next await.

        Returns after its `finally` blocks have run, whatever ended it.
        """
        error = asyncio.run_coroutine_threadsafe(self._ended(awaitable, cancellation), self._loop).result()
        if error is not None:
            raise error

    def close(self) -> None:
        """Cancel what the handler left running, wait up to CLOSE_SECONDS for its end, and stop the loop."""
        if os.getpid() != self._process_id:  # a fork of the worker has the loop and not its thread
            return
        atexit.unregister(self.close)
        if not self._thread.is_alive():
            return
        with contextlib.suppress(Exception):  # whatever a task raises at its end
            asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop).result(CLOSE_SECONDS + 1)
        self._closing = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_SECONDS)

    async def _ended(self, awaitable: Awaitable[object], cancellation: Cancellation) -> BaseException | None:
        """What it raised, as a value: SystemExit and KeyboardInterrupt of a task would end the loop for all others."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker
        cancellation.call(lambda: loop.call_soon_threadsafe(task.cancel))
        try:
            await awaitable
        except BaseException as error:  # noqa: BLE001 - raised again in the task's thread
            return error
        finally:
            if os.getpid() != self._process_id:
                os._exit(0)  # the coroutine forked, and this is the child: loop and delivery are the parent's
        return None

    @staticmethod
    async def _cancel_all() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        await asyncio.get_running_loop().shutdown_asyncgens()

    def _turn(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._closing:
            try:
                self._loop.run_forever()
            except BaseException:  # SystemExit in a background task of the handler: the loop is for all tasks
                logger.exception("a background task of the handler raised what ends an event loop; the loop goes on")
        self._loop.close()
