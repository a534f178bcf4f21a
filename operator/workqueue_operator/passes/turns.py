"""Turns of the event loop: much work that comes at once is spread, so that the loop goes on with everything else."""

import asyncio
from collections import deque


class Turns:
    """Lets so many callers through in one turn of the event loop, in the order in which they came."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._left = at_once
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_counting = False

    async def take(self) -> None:
        """Wait for a turn; none while few come."""
        if not self._is_counting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._next)
        if self._left and not self._waiting:
            self._left -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _next(self) -> None:
        """The loop came round: as many again."""
        self._left = self._at_once
        while self._left and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # its caller may have been cancelled
                turn.set_result(None)
                self._left -= 1
        self._is_counting = bool(self._waiting) or self._left < self._at_once
        if self._is_counting:
            asyncio.get_running_loop().call_soon(self._next)
