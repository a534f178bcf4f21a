"""A name server that does not answer one owner's names leaves room for those of others."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from workqueue_broker.resolving import MOST_OF_ONE, Info, Lookups, resolve

FOUND: list[Info] = [(2, 1, 6, "", ("192.0.2.1", 0))]


class NameServer:
    """Answers for names that do not begin with "slow"; for the others when it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.asked: list[str] = []

    def look_up(self, host: str) -> list[Info]:
        self.asked.append(host)
        if host.startswith("slow"):
            self.released.wait()
        return FOUND


@pytest.fixture
def server() -> Iterator[NameServer]:
    made = NameServer()
    yield made
    made.released.set()


async def test_names_without_an_answer_use_up_the_room_of_their_owner_alone(server: NameServer) -> None:
    lookups = Lookups(server.look_up)
    hanging = [lookups.of(f"slow-{number}", "attacker") for number in range(MOST_OF_ONE)]
    with pytest.raises(OSError, match="2 host names are being looked up already, 2 of them for this address"):
        lookups.of("slow-more", "attacker")
    assert await lookups.of("neighbour", "neighbour") == FOUND
    server.released.set()
    assert await asyncio.gather(*hanging) == [FOUND] * MOST_OF_ONE
    assert await lookups.of("another", "attacker") == FOUND


async def test_one_lookup_serves_all_that_ask_during_it(server: NameServer) -> None:
    lookups = Lookups(server.look_up)
    both = [lookups.of("slow", owner) for owner in ("one", "other")]
    server.released.set()
    assert await asyncio.gather(*both) == [FOUND, FOUND]
    assert server.asked == ["slow"]


async def test_a_name_that_is_none_is_an_os_error() -> None:
    with pytest.raises(OSError, match=r"no host name: Unicode(Encode)?Error"):
        await resolve("a..b", 1, "owner")
