"""Slots that namespaces share: so many at once, and none waits behind another one's queue."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Slots:
    """A slot that becomes free goes to the namespace that has the fewest, and there to the one that waits longest."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._held: Counter[str] = Counter()
        #: By namespace, the requests that wait; the namespace whose turn was last comes last.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def of(self, namespace: str) -> AsyncIterator[None]:
        """Hold a slot; waits for one."""
        await self._take(namespace)
        try:
            yield
        finally:
            self._give_back(namespace)

    async def _take(self, namespace: str) -> None:
        if self._free:  # no request waits then
            self._free -= 1
            self._held[namespace] += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(namespace, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had its turn just before
                self._give_back(namespace)
            raise

    def _give_back(self, namespace: str) -> None:
        self._held[namespace] -= 1
        if not self._held[namespace]:
            del self._held[namespace]
        self._free += 1
        while self._free and self._waiting:
            following = min(self._waiting, key=lambda name: self._held[name])
            turns = self._waiting.pop(following)
            turn = turns.popleft()
            if turns:
                self._waiting[following] = turns
            if not turn.done():  # its caller may have been cancelled
                turn.set_result(None)
                self._free -= 1
                self._held[following] += 1
