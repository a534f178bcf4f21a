"""Host names to addresses, for an event loop: a name server that does not answer holds up nothing but its own name.

The event loop's own way has a handful of threads for all names, and a process that ends waits for them.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from typing import Any

#: Names that are looked up at once. The system gives each up after a while, but nothing can end a lookup sooner.
MOST_LOOKUPS = 64

#: Family, type, protocol, canonical name and socket address, as socket.getaddrinfo gives them.
Info = tuple[Any, ...]

_under_way: dict[tuple[str, asyncio.AbstractEventLoop], "asyncio.Future[list[Info]]"] = {}


async def resolve(host: str, port: int) -> list[Info]:
    """The addresses of a host for TCP, at least one; raises OSError. A cancel leaves the lookup to end by itself."""
    if _is_address(host):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    found = await asyncio.shield(_lookup(host))
    return [(*info[:4], (info[4][0], port, *info[4][2:])) for info in found]


def _lookup(host: str) -> "asyncio.Future[list[Info]]":
    """One lookup serves all who ask for the name while it goes on."""
    loop = asyncio.get_running_loop()
    known = _under_way.get((host, loop))
    if known is not None:
        return known
    if len(_under_way) >= MOST_LOOKUPS:
        raise OSError(f"{MOST_LOOKUPS} host names are being looked up already; is the name server slow?")
    future: asyncio.Future[list[Info]] = loop.create_future()
    try:
        threading.Thread(target=_look_up, args=(host, loop, future), name="resolver", daemon=True).start()
    except RuntimeError as error:  # no more threads
        raise OSError(f"the host name cannot be looked up: {error}") from error
    _under_way[host, loop] = future
    future.add_done_callback(_taken)
    return future


def _look_up(host: str, loop: asyncio.AbstractEventLoop, future: "asyncio.Future[list[Info]]") -> None:
    """In a thread of its own."""
    found: list[Info] = []
    failure: Exception | None = None
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        failure = error if isinstance(error, OSError) else OSError(f"no host name: {type(error).__name__}")

    def answer() -> None:
        _under_way.pop((host, loop), None)
        if future.cancelled():
            return
        if failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(found)

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(answer)


def _taken(future: "asyncio.Future[list[Info]]") -> None:
    if not future.cancelled():
        future.exception()  # it may be that nobody waits any more


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
