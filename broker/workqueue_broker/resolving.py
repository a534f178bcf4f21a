"""Host names to addresses, for an event loop: a name server that does not answer holds up nothing but its own name.

The event loop's own way has a handful of threads for all names, and a process that ends waits for them.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable, Hashable
from typing import Any

#: Names that are looked up at once: of all owners, and of one. The system gives each up after a while, but nothing can
#: end a lookup sooner; a name server that never answers must leave room for the names of others.
MOST_LOOKUPS = 256
MOST_OF_ONE = 2

#: Family, type, protocol, canonical name and socket address, as socket.getaddrinfo gives them.
Info = tuple[Any, ...]


class Lookups:
    """The lookups under way. `look_up` blocks until it has the addresses of a host, or raises."""

    def __init__(self, look_up: Callable[[str], list[Info]]) -> None:
        self._look_up = look_up
        #: Each one's answer and owner.
        self._under_way: dict[tuple[str, asyncio.AbstractEventLoop], tuple[asyncio.Future[list[Info]], Hashable]] = {}

    def of(self, host: str, owner: Hashable) -> "asyncio.Future[list[Info]]":
        """One lookup serves all callers that ask for the name during it; raises OSError when there are too many."""
        loop = asyncio.get_running_loop()
        known = self._under_way.get((host, loop))
        if known is not None:
            return known[0]
        of_one = sum(other == owner for _, other in self._under_way.values())
        if of_one >= MOST_OF_ONE or len(self._under_way) >= MOST_LOOKUPS:
            text = f"{len(self._under_way)} host names are being looked up already, {of_one} of them for this address"
            raise OSError(f"{text}; is the name server slow?")
        future: asyncio.Future[list[Info]] = loop.create_future()
        thread = threading.Thread(target=self._run, args=(host, loop, future), name="resolver", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            raise OSError(f"the host name cannot be looked up: {error}") from error
        self._under_way[host, loop] = future, owner
        future.add_done_callback(_taken)
        return future

    def _run(self, host: str, loop: asyncio.AbstractEventLoop, future: "asyncio.Future[list[Info]]") -> None:
        """In a thread of its own."""
        found: list[Info] = []
        failure: Exception | None = None
        try:
            found = self._look_up(host)
        except (OSError, ValueError) as error:
            failure = error if isinstance(error, OSError) else OSError(f"no host name: {type(error).__name__}")

        def answer() -> None:
            self._under_way.pop((host, loop), None)
            if future.cancelled():
                return
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(found)

        with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits
            loop.call_soon_threadsafe(answer)


_LOOKUPS = Lookups(lambda host: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))


async def resolve(host: str, port: int, owner: Hashable) -> list[Info]:
    """The addresses of a host for TCP, at least one; raises OSError. A cancel leaves the lookup to end by itself.

    `owner`: whom the lookup counts for, such as one address or one session.
    """
    if _is_address(host):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    found = await asyncio.shield(_LOOKUPS.of(host, owner))
    return [(*info[:4], (info[4][0], port, *info[4][2:])) for info in found]


def _taken(future: "asyncio.Future[list[Info]]") -> None:
    if not future.cancelled():
        future.exception()  # the caller may wait no longer


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
