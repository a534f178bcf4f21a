"""Waiting for a fact instead of sleeping. The only place in the tests that sleeps."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.02
#: The pause grows with the wait, to a tenth of it and at most to this: most polls start a program or ask a server.
LONGEST_POLL_SECONDS = 0.25


def wait_until(fact: Callable[[], T | None], deadline_seconds: float, what: str) -> T:
    """Poll until the fact is neither None nor False and return it; fails with `what` and the last value or error."""
    began = time.monotonic()
    while True:
        seen: object
        try:
            value = fact()
        except Exception as error:  # noqa: BLE001 - a fact may not be readable yet; the last error is shown
            seen = error
        else:
            if value is not None and value is not False:
                return value
            seen = value
        waited = time.monotonic() - began
        if waited > deadline_seconds:
            raise AssertionError(f"not within {deadline_seconds:g} s: {what}; last seen: {seen!r}")
        time.sleep(min(max(POLL_SECONDS, waited / 10), LONGEST_POLL_SECONDS))


async def until(fact: Callable[[], Awaitable[T | None]], what: str, deadline_seconds: float = 30.0) -> T:
    """The same in an event loop."""
    deadline = time.monotonic() + deadline_seconds
    while (seen := await fact()) is None or seen is False:
        assert time.monotonic() < deadline, f"not within {deadline_seconds:g} s: {what}"
        await asyncio.sleep(POLL_SECONDS)
    return seen
