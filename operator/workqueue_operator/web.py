"""HTTP to others, with aiohttp, which comes with kopf. Whatever they answer is bounded in size, time and depth.

The only importer of aiohttp beside the Kubernetes adapter, which needs its exceptions. What an address answers must
cost no other one: each Site has its own session, and no session follows a redirect or keeps a cookie.
"""

import asyncio
import functools
import json
import socket
import ssl
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import aiohttp.abc
from workqueue_broker.errors import InvalidAddress
from workqueue_broker.foreign_text import error_text, foreign_text
from workqueue_broker.resolving import resolve
from workqueue_broker.tls import Tls, management_context_of

Session = aiohttp.ClientSession

#: A page longer than this is not one of a worker's.
MAX_PAGE_BYTES = 256 * 1024
#: Answers of a management API: 30,000 queues with our columns need no more.
MAX_ANSWER_BYTES = 8 * 2**20
#: Commas and opening brackets of an answer; the same queues have no more. Each may cost 200 bytes of memory.
MOST_VALUES = 600_000
#: An answer up to this size is parsed in the event loop, and its memory is not counted. Bigger ones, of all sites
#: together, have the second, of which a namespace gets half of what the others leave; they are parsed one by one in a
#: thread.
SMALL_BYTES = 64 * 1024
BIG_ANSWERS_BYTES = 32 * 2**20


class _Resolver(aiohttp.abc.AbstractResolver):
    """Looks names up outside of the event loop's few threads, and keeps no answer."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        return [
            aiohttp.abc.ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, _, protocol, _, address in await resolve(host, port, self)
            if family in (socket.AF_UNSPEC, kind)
        ]

    async def close(self) -> None:
        """Nothing to give back."""


def open_session() -> Session:
    """A session without a limit of connections: a deadline must measure the other side, not our queue.

    aiohttp's own bound is 100 connections; a caller that asks many servers at once bounds that itself.
    """
    return Session(
        connector=aiohttp.TCPConnector(limit=0, resolver=_Resolver(), use_dns_cache=False),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
    )


async def fetch_page(session: Session, url: str, timeout_seconds: float) -> bytes | None:
    """A worker's page, or None when there is no whole one in time; the caller knows what no answer means."""
    try:
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        async with session.get(url, timeout=timeout, allow_redirects=False) as response:
            return await _read_whole(response.content) if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


async def _read_whole(content: aiohttp.StreamReader) -> bytes | None:
    """All there is, since one read gives only what has come so far; None when there is too much."""
    page = bytearray()
    async for piece in content.iter_any():
        page += piece
        if len(page) > MAX_PAGE_BYTES:
            return None
    return bytes(page)


class Unreachable(Exception):
    """No usable answer; the message names the address, without its login, and says why."""


class Refused(Unreachable):
    """The other side answers that it will not do it."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        #: HTTP's, from 400 to 499.
        self.status = status


class BigAnswers:
    """The memory that the big answers under way have together, and the thread that parses them.

    A namespace alone gets 16 MiB, and leaves the next one room for an answer of any size that is taken at all.
    """

    def __init__(self) -> None:
        #: Bytes, by namespace.
        self._taken: Counter[str] = Counter()
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="parser")

    def take(self, namespace: str, size: int) -> bool:
        """Whether there is room for so many more bytes."""
        taken = self._taken[namespace]
        left = BIG_ANSWERS_BYTES - (self._taken.total() - taken)
        if taken + size > left // 2:
            return False
        self._taken[namespace] += size
        return True

    def give_back(self, namespace: str, size: int) -> None:
        """The answer of so many bytes is parsed."""
        self._taken[namespace] -= size
        if not self._taken[namespace]:
            del self._taken[namespace]


_BIG = BigAnswers()


@dataclass(frozen=True)
class Site:
    """A server that a tenant names, with the login for it. Its session is its own; `close` gives that back."""

    base: str
    login: tuple[str, str] = field(repr=False)
    tls: Tls
    #: The namespace of the tenant, whose share of the room for big answers is used.
    namespace: str = ""

    @functools.cached_property
    def _session(self) -> Session:
        return open_session()

    @functools.cached_property
    def _context(self) -> ssl.SSLContext | bool:
        """For https alone: making it takes the reading of all authorities that the system knows."""
        return management_context_of(self.tls) if self.base.lower().startswith("https:") else True

    async def close(self) -> None:
        """Close the session's connections."""
        if "_session" in self.__dict__:
            await self._session.close()

    async def get(self, path: str, timeout_seconds: float) -> Any:
        """What its JSON says; raises Unreachable."""
        return await self._ask("GET", path, None, timeout_seconds)

    async def put(self, path: str, body: Mapping[str, Any], timeout_seconds: float) -> None:
        """Store the body as JSON; raises Unreachable."""
        await self._ask("PUT", path, body, timeout_seconds)

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None, timeout_seconds: float) -> Any:
        place = self.base + path.partition("?")[0]
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._exchange(method, path, body, place)
        except aiohttp.ClientConnectorCertificateError as error:
            why = f"{error_text(error.certificate_error)}; its authority must be in ca.crt, or one of the system's"
            raise Unreachable(f"{place}: its certificate cannot be verified: {why}") from error
        except TimeoutError as error:
            raise Unreachable(f"{place} timed out after {timeout_seconds:g} s") from error
        except (aiohttp.ClientError, OSError, InvalidAddress) as error:
            raise Unreachable(f"{place} cannot be reached: {error_text(error)}") from error

    async def _exchange(self, method: str, path: str, body: Mapping[str, Any] | None, place: str) -> Any:
        asked = self._session.request(
            method,
            self.base + path,
            headers={"Authorization": aiohttp.encode_basic_auth(*self.login)},
            json=body,
            ssl=self._context,
            allow_redirects=False,
        )
        async with asked as response:
            answer = await _read_json(response.content, place, self.namespace)
        if not 200 <= response.status < 300:
            raise _refusal(place, response.status, response.reason or "", answer)
        if method == "GET" and answer is None:
            raise Unreachable(f"{place} answers no JSON, or one with too many values")
        return answer


def _refusal(place: str, status: int, phrase: str, answer: Any) -> Unreachable:
    """With RabbitMQ's own words, {"error": …, "reason": …}. Of any other page nothing is shown: it may be anybody's."""
    reason = (answer.get("reason") or answer.get("error")) if isinstance(answer, dict) else None
    words = f": {foreign_text(reason)}" if isinstance(reason, str) else ""
    text = f"{place} answers {status} {foreign_text(phrase, 100)}".rstrip() + words
    return Refused(text, status) if 400 <= status < 500 else Unreachable(text)


async def _read_json(content: aiohttp.StreamReader, place: str, namespace: str) -> Any:
    """What the JSON says, None for no JSON; raises Unreachable when it is too much."""
    answer, taken = bytearray(), 0
    try:
        async for piece in content.iter_any():
            answer += piece
            if len(answer) > MAX_ANSWER_BYTES:
                raise Unreachable(f"{place} answers more than {MAX_ANSWER_BYTES} bytes")
            more = max(0, len(answer) - SMALL_BYTES) - taken
            if more and not _BIG.take(namespace, more):
                raise Unreachable(f"{place} answers much while other big answers are read; it is asked again")
            taken += more
        if not taken:
            return parsed(answer)
        return await asyncio.get_running_loop().run_in_executor(_BIG.thread, parsed, answer)
    finally:
        _BIG.give_back(namespace, taken)


def parsed(answer: bytes | bytearray) -> Any:
    """What the JSON says; None when it is none, is nested too deeply, or has too many values."""
    if sum(map(answer.count, (b",", b"[", b"{"))) > MOST_VALUES:
        return None
    try:
        return json.loads(answer.decode("utf-8", errors="replace"))
    except (ValueError, RecursionError):
        return None
